"""A program as text of a backend.

All texts carry out the same operations in the same order. Loops have no branches, so that a
compiler can vectorise them; a choice computes both sides.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from simcore.language.program import Body, Line, Program
from simcore.numerics.random import MOST_WORD, STEP, WORD_UNIT, stream

TILE = 1024

_INFIX = {"+", "-", "*", "/", "<", "<=", ">", ">=", "=="}


class _Text(ABC):
    """What the texts of all backends share."""

    library = "np."

    def line(self, line: Line) -> str:
        """Return an operation as text."""
        return f"{line.name} = {self.value(line.op, line.args, line.kind)}"

    def value(self, op: str, a: tuple[str, ...], kind: str) -> str:
        """Return the right-hand side of an operation."""
        if op in _INFIX:
            return f"{a[0]} {op} {a[1]}"
        if op in ("and", "or"):
            return f"{a[0]} {'&' if op == 'and' else '|'} {a[1]}"
        if op == "neg":
            return f"-{a[0]}"
        if op in ("sqrt", "rint"):
            return f"{self.library}{op}({a[0]})"
        if op == "where":
            return self.where(*a)
        if op == "decrement":
            return self.decrement(*a)
        return self.negation(*a) if op == "not" else f"{op}({', '.join(a)})"

    @abstractmethod
    def where(self, c: str, yes: str, no: str) -> str:
        """Return a choice as text."""

    @abstractmethod
    def decrement(self, a: str) -> str:
        """Return a whole number less one as text."""

    @abstractmethod
    def negation(self, a: str) -> str:
        """Return the opposite of a condition as text."""


class _Numba(_Text):
    def where(self, c: str, yes: str, no: str) -> str:
        return f"{yes} if {c} else {no}"

    def decrement(self, a: str) -> str:
        return f"np.int16({a} - np.int16(1))"

    def negation(self, a: str) -> str:
        return f"not {a}"


def numba_source(program: Program, real: str, varying: frozenset[int] = frozenset()) -> str:
    """Return a module with the function `advance` of a model.

    Parameters
    ----------
    program : Program
        The model.
    real : {"float64", "float32"}
        Type of the state.
    varying : frozenset of int
        Numbers that differ from neuron to neuron; the one after the last is the refractory time.
    """
    bodies = [*program.bodies, *program.finer]
    slow = program.condition is not None
    text = [
        f'"""The model {program.name}, made of its equations."""',
        "import numpy as np",
        "from numba import carray",
        "from simcore.numerics.jit import inlined",
        *(["from simcore.numerics.philox import draw_inline"] if program.n_draws else []),
        f"from simcore.numerics.portable import {'exp' if real == 'float64' else 'exp32'}",
        "",
        f"real = np.{real}",
        f"exp = inlined({'exp' if real == 'float64' else 'exp32'})",
        *(f"c{k} = real({value!r})" for k, value in enumerate(program.constants)),
        "none = np.int16(0)",
        *(_NUMBA_UNIFORM if program.n_draws else []),
        "",
    ]
    arguments = "numbers, values, states, waiting, duration, arrived, spiked, first, last"
    key = "draw_seed, draw_step, draw_gids"
    arguments += f", {key}" if program.n_draws else ""
    if _is_prepared(program):
        text += ["", "", "@inlined", f"def prepare({arguments}):"]
        text += _numba_preparation(program, varying)
    for k, body in enumerate(bodies):
        flagged = slow and k < len(program.bodies)
        first_pass = k == 0 and not _is_prepared(program)
        last_pass = k in (len(program.bodies) - 1, len(bodies) - 1)
        text += ["", "", "@inlined", f"def pass{k}({arguments}):"]
        text += _numba_loop(program, body, varying, first_pass, last_pass, flagged)
    text += ["", "", "@inlined", f"def advance({arguments}):"]
    text += _numba_passes(program)
    text += [
        "",
        "",
        "def update(n, numbers_, values_, states_, waiting_, duration, arrived_, size, spiked_"
        + (", draw_seed, draw_step, draw_gids_):" if program.n_draws else "):"),
        f"    numbers = carray(numbers_, {max(1, len(program.numbers))})",
        f"    values = carray(values_, ({len(varying)}, n))",
        f"    states = carray(states_, ({len(program.states)}, n))",
        "    waiting = carray(waiting_, n)",
        f"    arrived = carray(arrived_, ({program.n_receptors}, size))",
        "    spiked = carray(spiked_, n)",
        *(["    draw_gids = carray(draw_gids_, n)"] if program.n_draws else []),
        "    advance(",
        "        numbers, values, states, waiting, np.int16(duration), arrived, spiked, 0, n"
        + (f", {key}" if program.n_draws else ""),
        "    )",
    ]
    return "\n".join(text) + "\n"


def _is_prepared(program: Program) -> bool:
    """Return whether flags are set before the passes, since these add to them or choose by them."""
    return program.condition is not None or program.bodies[0].times > 1


def _numba_preparation(program: Program, varying: frozenset[int]) -> list[str]:
    """Return the loop that marks where finer substeps are due, and else sets flags to 0."""
    body = program.condition or Body(1, (), {}, None, None, False, ())
    text = _numba_loop(program, body, varying, True, False, False)
    if program.condition is not None:
        text[-1] = f"        flags[i] = np.uint8(255) if {body.spikes} else np.uint8(0)"
    return text


def _numba_loop(
    program: Program,
    body: Body,
    varying: frozenset[int],
    first_pass: bool,
    last_pass: bool,
    flagged: bool,
) -> list[str]:
    """Return one loop over neurons; where finer substeps are due it leaves them alone."""
    printer = _Numba()
    used = {a for line in body.lines for a in line.args} | set(body.states.values())
    used |= {x for x in (body.waiting, body.spikes) if x}
    columns = {name: k for k, name in enumerate(program.states)}
    loaded = [n for n in program.states if n in used or n in body.states]
    order = {k: j for j, k in enumerate(sorted(varying))}
    # Loops that begin with 0 need no test for negative indices, and are vectorised
    text = [f"    s{columns[n]} = states[{columns[n]}, first:last]" for n in loaded]
    inputs = range(program.n_receptors) if last_pass else body.inputs
    text += [f"    a{r} = arrived[{r}, first:last]" for r in inputs]
    text.append("    flags = spiked[first:last]")
    if body.draws:
        text.append("    draw_own = draw_gids[first:last]")
    if program.has_refractory:
        text.append("    pauses = waiting[first:last]")
    for k in range(len(program.numbers)):
        if f"n{k}" in used:
            text.append(
                f"    v{k} = values[{order[k]}, first:last]"
                if k in varying
                else f"    n{k} = numbers[{k}]"
            )
    last = len(program.numbers)
    waits = last in order and "duration" in used
    if waits:
        text.append(f"    v{last} = values[{order[last]}, first:last]")
    text.append("    for i in range(last - first):")
    inner = [f"{n} = s{columns[n]}[i]" for n in loaded]
    if "waiting" in used or body.waiting:
        inner.append("waiting = pauses[i]")
    inner += [f"n{k} = v{k}[i]" for k in order if f"n{k}" in used]
    if waits:
        inner.append(f"duration = np.int16(v{last}[i])")
    inner += [f"in{r} = real(a{r}[i])" for r in body.inputs]
    inner += _numba_draws(body)
    if "spikes" in used:
        inner.append("spikes = real(0.0)" if first_pass else "spikes = real(flags[i])")
    if flagged:
        inner.append("slow = flags[i] == np.uint8(255)")
    inner += [printer.line(line) for line in body.lines]
    for n, new in body.states.items():
        kept = f"{n} if slow else {new}" if flagged else new
        inner.append(f"s{columns[n]}[i] = {kept}")
    if body.waiting and body.waiting != "waiting":
        kept = f"waiting if slow else {body.waiting}" if flagged else body.waiting
        inner.append(f"pauses[i] = {kept}")
    if body.spikes is not None and body.spikes != "spikes":
        kept = f"np.uint8({body.spikes})"
        inner.append(
            f"flags[i] = np.uint8(255) if slow else {kept}" if flagged else f"flags[i] = {kept}"
        )
    elif first_pass:
        inner.append("flags[i] = np.uint8(0)")
    if last_pass:
        for r in range(program.n_receptors):
            inner.append(
                f"a{r}[i] = " + (f"a{r}[i] if slow else np.int32(0)" if flagged else "np.int32(0)")
            )
    return text + [f"        {line}" for line in inner]


_NUMBA_UNIFORM = f"""

@inlined
def draw_uniform(word):
    odd = np.uint32(min(word | np.uint64(1), np.uint64({MOST_WORD:#x})))
    return real(odd) * real({WORD_UNIT!r})""".splitlines()


def _numba_draws(body: Body) -> list[str]:
    """Return the lines that draw the random numbers of a neuron, see `random.draw_step`."""
    text = []
    for block in sorted({k // 4 for k in body.draws}):
        words = ", ".join(f"draw_word{4 * block + j}" for j in range(4))
        key = f"draw_seed, np.uint64({stream(STEP, block)}), np.uint64(draw_own[i]), draw_step"
        text.append(f"{words} = draw_inline({key})")
    return text + [f"draw{k} = draw_uniform(draw_word{k})" for k in body.draws]


def _prefixed(line: Line) -> Line:
    """Return a line of the condition, whose results have names of their own."""
    args = tuple(_prefix(a, None) for a in line.args)
    return Line(f"q{line.name}", line.kind, line.op, args)


def _prefix(name: str, condition: Body | None) -> str:
    return f"q{name}" if name.startswith("t") and name[1:].isdigit() else name


def _numba_passes(program: Program) -> list[str]:
    """Return the statements that carry out all passes, tile by tile."""
    call = "numbers, values, states, waiting, duration, arrived, spiked, begin, end"
    call += ", draw_seed, draw_step, draw_gids" if program.n_draws else ""
    single = len(program.bodies) == 1 and program.bodies[0].times == 1 and not program.finer
    if single:
        return ["    begin, end = first, last", f"    pass0({call})"]
    text = [
        f"    for begin in range(first, last, {TILE}):",
        f"        end = min(begin + {TILE}, last)",
    ]
    if _is_prepared(program):
        text.append(f"        prepare({call})")
    for k, body in enumerate(program.bodies):
        text += _repeated(body.times, f"pass{k}({call})", 8)
    if program.finer:
        n, r = len(program.states), program.n_receptors
        text += [
            "        n_slow = 0",
            "        for i in range(begin, end):",
            "            n_slow += spiked[i] == np.uint8(255)",
            "        if n_slow == 0:",
            "            continue",
            "        chosen = np.empty(n_slow, np.int64)",
            "        k = 0",
            "        for i in range(begin, end):",
            "            if spiked[i] == np.uint8(255):",
            "                chosen[k] = i",
            "                k += 1",
            f"        own = np.empty(({n}, n_slow), real)",
            "        own_values = np.empty((values.shape[0], n_slow), real)",
            f"        own_arrived = np.empty(({r}, n_slow), np.int32)",
            "        own_waiting = np.empty(n_slow, np.int16)",
            "        own_spiked = np.zeros(n_slow, np.uint8)",
            *(["        draw_chosen = np.empty(n_slow, np.int64)"] if program.n_draws else []),
            "        for k in range(n_slow):",
            "            i = chosen[k]",
            *(f"            own[{c}, k] = states[{c}, i]" for c in range(n)),
            "            for c in range(values.shape[0]):",
            "                own_values[c, k] = values[c, i]",
            *(["            draw_chosen[k] = draw_gids[i]"] if program.n_draws else []),
            *(f"            own_arrived[{c}, k] = arrived[{c}, i]" for c in range(r)),
        ]
        if program.has_refractory:
            text.append("            own_waiting[k] = waiting[i]")
        own = "numbers, own_values, own, own_waiting, duration, own_arrived, own_spiked, 0, n_slow"
        own += ", draw_seed, draw_step, draw_chosen" if program.n_draws else ""
        for k, body in enumerate(program.finer, len(program.bodies)):
            text += _repeated(body.times, f"pass{k}({own})", 8)
        text += [
            "        for k in range(n_slow):",
            "            i = chosen[k]",
            *(f"            states[{c}, i] = own[{c}, k]" for c in range(n)),
            *(f"            arrived[{c}, i] = np.int32(0)" for c in range(r)),
            "            spiked[i] = own_spiked[k]",
        ]
        if program.has_refractory:
            text.append("            waiting[i] = own_waiting[k]")
    return text


def _repeated(times: int, call: str, indent: int) -> list[str]:
    space = " " * indent
    if times == 1:
        return [space + call]
    return [f"{space}for _ in range({times}):", f"{space}    {call}"]


class _C(_Text):
    library = "::"

    def line(self, line: Line) -> str:
        kind = {"real": "real", "bool": "bool", "int": "int16"}[line.kind]
        return f"const {kind} {line.name} = {self.value(line.op, line.args, line.kind)};"

    def value(self, op: str, a: tuple[str, ...], kind: str) -> str:
        if op in ("and", "or"):
            return f"{a[0]} {'&&' if op == 'and' else '||'} {a[1]}"
        if op == "exp":
            return f"portable_exp({a[0]})"
        return super().value(op, a, kind)

    def where(self, c: str, yes: str, no: str) -> str:
        return f"{c} ? {yes} : {no}"

    def decrement(self, a: str) -> str:
        return f"(int16)({a} - 1)"

    def negation(self, a: str) -> str:
        return f"!{a}"


def cuda_source(program: Program, name: str, varying: frozenset[int] = frozenset()) -> str:
    """Return the function of CUDA C++ that advances one neuron of a model by a step.

    Parameters
    ----------
    program : Program
        The model.
    name : str
        Name of the function.
    varying : frozenset of int
        Numbers that differ from neuron to neuron; the one after the last is the refractory time.
    """
    order = {k: j for j, k in enumerate(sorted(varying))}
    text = [
        f"// {program.name}",
        f"__device__ inline int32 {name}(",
        "    const real *numbers, const real *values, real *states, int64 size, int16 &pause,",
        "    int16 duration, const int32 *arrived"
        + (", uint64 draw_seed, int64 draw_gid, int64 draw_step) {" if program.n_draws else ") {"),
        *(f"    const real c{k} = (real){_literal(v)};" for k, v in enumerate(program.constants)),
    ]
    for k in range(len(program.numbers)):
        source = f"values[{order[k]} * size]" if k in order else f"numbers[{k}]"
        text.append(f"    const real n{k} = {source};")
    if len(program.numbers) in order:
        text.append(f"    duration = (int16)values[{order[len(program.numbers)]} * size];")
    for k, state in enumerate(program.states):
        text.append(f"    real {state} = states[{k} * size];")
    inputs = sorted({r for body in (*program.bodies, *program.finer) for r in body.inputs})
    text += [f"    const real in{r} = (real)arrived[{r}];" for r in inputs]
    text += _c_draws(program)
    if program.has_refractory:
        text += ["    const int16 none = 0;", "    int16 waiting = pause;"]
    text.append("    real spikes = 0;")
    if program.condition is None:
        text += _c_bodies(program.bodies, 4)
    else:
        printer = _C()
        text += [f"    {printer.line(_prefixed(line))}" for line in program.condition.lines]
        text.append(f"    if ({_prefix(program.condition.spikes or '', program.condition)}) {{")
        text += _c_bodies(program.finer, 8)
        text.append("    } else {")
        text += _c_bodies(program.bodies, 8)
        text.append("    }")
    for k, state in enumerate(program.states):
        text.append(f"    states[{k} * size] = {state};")
    if program.has_refractory:
        text.append("    pause = waiting;")
    text += ["    return (int32)spikes;", "}"]
    return "\n".join(text) + "\n"


def _c_draws(program: Program) -> list[str]:
    """Return the lines that draw the random numbers of a neuron, see `random.draw_step`."""
    text = []
    for k in range(program.n_draws):
        block, word = divmod(k, 4)
        if word == 0:
            key = f"draw_seed, {stream(STEP, block)}u, draw_gid, draw_step"
            text.append(f"    const Words draw_words{block} = draw_words({key});")
        text.append(f"    const real draw{k} = uniform_of_word(draw_words{block}.w{word});")
    return text


def _c_bodies(bodies: tuple[Body, ...], indent: int) -> list[str]:
    """Return the lines of bodies that change the variables of a neuron."""
    printer, text = _C(), []
    for body in bodies:
        inner = [printer.line(line) for line in body.lines]
        new = dict(body.states)
        if body.waiting is not None and body.waiting != "waiting":
            new["waiting"] = body.waiting
        if body.spikes is not None and body.spikes != "spikes":
            new["spikes"] = body.spikes

        # A new value may be the old one of another state
        taken = [n for n, value in new.items() if value in new]
        inner += [f"const real old_{new[n]} = {new[n]};" for n in taken]
        inner += [f"{n} = {f'old_{v}' if n in taken else v};" for n, v in new.items()]
        loop = "{" if body.times == 1 else f"for (int32 k = 0; k < {body.times}; ++k) {{"
        if body.times > 1:
            text.append("#pragma unroll 1")
        text += [" " * indent + loop, *(" " * (indent + 4) + line for line in inner)]
        text.append(" " * indent + "}")
    return text


def _literal(value: float) -> str:
    """Return a number as C++ reads it."""
    return repr(value)
