"""The kernels in the code of a device: compiled by NVRTC, and kept as those of Numba are."""

from __future__ import annotations

import hashlib
from pathlib import Path

from simcore.kernels.cuda import structs
from simcore.kernels.cuda.models import HEADER, ModelSet
from simcore.services import cache
from simcore.services.errors import ConfigError

SOURCE = Path(__file__).parent / "advance.cu"

# No fused multiply-add: results are those of the CPU to the last bit
OPTIONS = ("--fmad=false", "--std=c++17", f"-I{SOURCE.parent}")


def options(precision: str) -> tuple[str, ...]:
    """Return the options to compile the kernels with, for a type of the state."""
    return (*OPTIONS, f"-DREAL={'double' if precision == 'float64' else 'float'}")


def headers(models: ModelSet) -> dict[str, str]:
    """Return the texts of the headers that are made, by name."""
    return {HEADER: models.header(), structs.HEADER: structs.agreement()}


def compile_kernels(precision: str, capability: int, models: ModelSet) -> bytes:
    """Return the kernels for devices of a compute capability.

    NVRTC is called here because CuPy's own compilation flushes small numbers of type float32 to
    zero (-ftz=true), which the CPU does not, and keeps what it compiled when an included file has
    changed.

    Parameters
    ----------
    precision : {"float64", "float32"}
        Type of the state.
    capability : int
        Compute capability, 90 for 9.0.
    models : ModelSet
        The models.
    """
    from cupy.cuda import nvrtc

    # A device newer than the compiler gets code that its driver translates
    known = max(c for c in nvrtc.getSupportedArchs() if c <= capability)
    kind = "sm" if known == capability else "compute"
    made = headers(models)
    program = nvrtc.createProgram(
        SOURCE.read_text(encoding="utf-8"), SOURCE.name,
        tuple(text.encode() for text in made.values()), tuple(name.encode() for name in made),
    )  # fmt: skip
    try:
        nvrtc.compileProgram(program, (*options(precision), f"-arch={kind}_{known}"))
        return nvrtc.getCUBIN(program) if kind == "sm" else nvrtc.getPTX(program)
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        raise ConfigError(f"backend 'cuda': NVRTC does not compile the kernels: {log}") from error
    finally:
        nvrtc.destroyProgram(program)


def kernels(precision: str, capability: int, models: ModelSet) -> bytes:
    """Return the kernels for devices of a compute capability, compiled now or before.

    Parameters
    ----------
    precision, capability, models
        See `compile_kernels`.
    """
    name = f"kernels-{_digest(precision, capability, models)}"
    kept = cache.load(name)
    if kept is not None:
        return kept
    code = compile_kernels(precision, capability, models)
    cache.store(name, code)
    return code


def _digest(precision: str, capability: int, models: ModelSet) -> str:
    """Return the SHA-256 of all that tells compiled kernels from others."""
    from cupy.cuda import nvrtc

    sha = hashlib.sha256(f"{nvrtc.getVersion()} {capability} {options(precision)}".encode())
    for path in sorted(SOURCE.parent.glob("*.cu*")):
        sha.update(path.read_bytes())
    for text in headers(models).values():
        sha.update(text.encode())
    return sha.hexdigest()[:16]
