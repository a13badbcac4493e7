"""The models of a shard in the code of a device: a header that update.cuh includes."""

from __future__ import annotations

from dataclasses import dataclass

from simcore.kernels.segments import Kind
from simcore.language.printer import cuda_source
from simcore.language.program import Program
from simcore.numerics import portable

HEADER = "models.cuh"


@dataclass(frozen=True)
class ModelSet:
    """Some models, in the order of their numbers.

    Parameters
    ----------
    programs : tuple of Program
        The models.
    varying : tuple of frozenset of int
        For each, which of its numbers differ from neuron to neuron; none where left out.
    """

    programs: tuple[Program, ...]
    varying: tuple[frozenset[int], ...] = ()

    @property
    def kinds(self) -> list[Kind]:
        """The models, each with which of its numbers differ."""
        varying = self.varying or (frozenset(),) * len(self.programs)
        return list(zip(self.programs, varying, strict=True))

    def number_of(self, kind: Kind) -> int:
        """Return the number by which the kernels know a model."""
        return self.kinds.index(kind)

    def header(self) -> str:
        """Return the text of the header."""
        most = max([1, *(p.n_receptors for p in self.programs)])
        text = [
            "// Made of the equations of the models in use",
            "#pragma once",
            f"const int32 MOST_RECEPTORS = {most};",
            exp_source(),
        ]
        cases = []
        for k, (program, varying) in enumerate(self.kinds):
            text.append(cuda_source(program, f"advance_{k}", varying))
            key = ", seed, gid, step" if program.n_draws else ""
            cases.append(
                f"    case {k}: return advance_{k}("
                f"numbers, values, states, size, pause, duration, arrived{key});"
            )
        text += [
            "__device__ inline int32 advance_model(",
            "    int64 kind, const real *numbers, const real *values, real *states, int64 size,",
            "    int16 &pause, int16 duration, const int32 *arrived, uint64 seed, int64 gid,",
            "    int64 step) {",
            "    switch (kind) {",
            *cases,
            "    }",
            "    return 0;",
            "}",
        ]
        return "\n".join(text) + "\n"


def model_set(programs: tuple[Program, ...], varying: tuple[frozenset[int], ...]) -> ModelSet:
    """Return the models that the kernels of a shard are compiled with."""
    return ModelSet(programs, varying)


def exp_source() -> str:
    """Return `simcore.numerics.portable.exp` and `exp32` as CUDA C++, with the same constants."""
    e = portable
    wide = ", ".join(map(repr, e.EXP))
    narrow = ", ".join(f"{value!r}f" for value in map(float, e.EXP32))
    return f"""
__device__ inline double portable_exp(double x) {{
    const double c[] = {{{wide}}};
    x = x < {e.LEAST!r} ? {e.LEAST!r} : x > {e.MOST!r} ? {e.MOST!r} : x;
    const double shifted = x * {e.INV_LN2!r} + {e.MAGIC!r};
    const double k = shifted - {e.MAGIC!r};
    const double r = (x - k * {e.LN2_HIGH!r}) - k * {e.LN2_LOW!r};
    const double r2 = r * r, r4 = r2 * r2;
    const double low = (c[1] * r + c[0]) + (c[3] * r + c[2]) * r2;
    const double high = (c[5] * r + c[4]) + (c[7] * r + c[6]) * r2;
    const double q = (low + high * r4) + (c[9] * r + c[8]) * (r4 * r4);
    const double found = (q * r2 + r) + 1.0;
    const int64 power = __double_as_longlong(shifted) - {e.MAGIC_BITS}ll, half = power >> 1;
    const double first = __longlong_as_double((int64)((uint64)(half + 1023) << 52));
    const double second = __longlong_as_double((int64)((uint64)(power - half + 1023) << 52));
    return found * first * second;
}}

__device__ inline float portable_exp(float x) {{
    const float c[] = {{{narrow}}};
    x = x < {e.LEAST32!s}f ? {e.LEAST32!s}f : x > {e.MOST32!s}f ? {e.MOST32!s}f : x;
    const float shifted = x * {float(e.INV_LN2_32)!r}f + {float(e.MAGIC32)!r}f;
    const float k = shifted - {float(e.MAGIC32)!r}f;
    const float r = (x - k * {float(e.LN2_HIGH32)!r}f) - k * {float(e.LN2_LOW32)!r}f;
    const float r2 = r * r;
    const float low = (c[1] * r + c[0]) + (c[3] * r + c[2]) * r2;
    const float q = low + c[4] * (r2 * r2);
    const float found = (q * r2 + r) + 1.0f;
    const int32 power = __float_as_int(shifted) - {e.MAGIC32_BITS}, half = power >> 1;
    const float first = __int_as_float((int32)((uint32)(half + 127) << 23));
    const float second = __int_as_float((int32)((uint32)(power - half + 127) << 23));
    return found * first * second;
}}
"""
