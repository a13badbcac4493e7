"""The options of a run: each is one entry, from which all else that knows of it follows.

That is its check, its place in the signature and documentation of `simulate`, what ranks compare,
what the file keeps, what `resume` takes, and the command line and run files of `simcore.cli`.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from numbers import Real
from typing import Any, TypeVar, cast

from simcore.numerics.clock import Clock
from simcore.services.errors import ConfigError, require

# Longest watchdog: a year [s]
_PATIENCE = 365 * 86400.0

# Where the entries go in the documentation of what takes them
_PLACE = "    **how\n        Options of `{}`.\n"

_Function = TypeVar("_Function", bound=Callable[..., Any])


def option(
    default: Any, meaning: str, unit: str = "", *, own: bool = False, fixed: bool = False
) -> Any:
    """Return the entry of an option.

    Parameters
    ----------
    default : object
        Its default.
    meaning : str
        What it says, for people.
    unit : str
        Its unit; a time in "ms" or "s" may be given as "500ms" or "15min" outside Python.
    own : bool
        Whether a rank may have a value of its own.
    fixed : bool
        Whether a run that goes on keeps its value.
    """
    about = {"meaning": meaning, "unit": unit, "own": own, "fixed": fixed}
    return field(default=default, metadata=about)


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """How the shard of a rank is built, and advanced."""

    dt: float = option(0.1, "Time step.", "ms", fixed=True)
    backend: str = option("auto", 'The arithmetic: "auto", "cpu", "cuda" or "reference".', own=True)
    partitioner: str = option(
        "balanced", 'Who owns which neuron: "balanced", "block" or "round_robin".'
    )
    precision: str = option("float64", 'Type of the state: "float64" or "float32".', fixed=True)
    threads: int = option(
        1, "Threads of a rank, at most as many as it has cores; ranks may differ.", own=True
    )

    def check(self) -> None:
        """Raise `ConfigError` when a value is out of range."""
        from simcore.kernels import check_backend
        from simcore.partition import check_partitioner

        Clock(self.dt)
        check_backend(self.backend, self.precision, self.threads)
        check_partitioner(self.partitioner)

    def build(self) -> dict[str, Any]:
        """Return those of `BuildOptions`, by name."""
        return {f.name: getattr(self, f.name) for f in fields(BuildOptions)}

    def shared(self) -> dict[str, Any]:
        """Return those that all ranks must have in common, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.metadata["own"]}


@dataclass(frozen=True, kw_only=True)
class RunOptions(BuildOptions):
    """How a run is built, recorded and looked after."""

    record_from: float = option(0.0, "Model time from which on is recorded.", "ms", fixed=True)
    checkpoint_every: float | None = option(
        None, "Model time between two checkpoints; 0 for none.", "ms"
    )
    checkpoint_wall: float | None = option(
        900.0, "Wall-clock time between two checkpoints; 0 for none.", "s"
    )
    max_rate: float | None = option(
        None, "Largest mean rate of a population over 100 ms that does not end the run.", "1/s"
    )
    watchdog: float = option(
        600.0, "Wall-clock time without progress after which the job is ended; 0 for ever.", "s"
    )

    def check_run(self, duration: float) -> None:
        """Raise `ConfigError` when a value is out of range, for a run of a duration [ms]."""
        self.check()
        clock = Clock(self.dt)
        steps = clock.steps(duration, "duration", ConfigError)
        valid = f"at least dt = {self.dt!r} ms"
        require(steps >= 1, "duration", duration, valid, error=ConfigError)
        first = clock.steps(self.record_from, "record_from", ConfigError)
        valid = f"in [0, {duration!r}) ms"
        require(0 <= first < steps, "record_from", self.record_from, valid, error=ConfigError)
        for name, unit in (("checkpoint_every", "ms"), ("checkpoint_wall", "s")):
            value = getattr(self, name)
            valid = f"> 0 [{unit}] and finite, or 0 or None for none"
            ok = value is None or (isinstance(value, Real) and 0 <= float(value) < math.inf)
            require(ok, name, value, valid, error=ConfigError)
        clock.steps(self.checkpoint_every or 0.0, "checkpoint_every", ConfigError)
        rate = self.max_rate
        ok = rate is None or (isinstance(rate, Real) and 0 < rate < math.inf)
        valid = "> 0 [1/s] and finite, or None"
        require(ok, "max_rate", self.max_rate, valid, error=ConfigError)
        valid = f"in [0, {_PATIENCE:g}] s, 0 for no watchdog"
        ok = self.patience == self.watchdog
        require(ok, "watchdog", self.watchdog, valid, error=ConfigError)

    @property
    def patience(self) -> float:
        """The watchdog; its default where the value is none, until `check_run` has said so."""
        valid = isinstance(self.watchdog, Real) and 0 <= self.watchdog <= _PATIENCE
        return self.watchdog if valid else RunOptions.watchdog


def kept_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a run keeps, of those that its file holds."""
    return {f.name: config[f.name] for f in fields(RunOptions) if f.metadata["fixed"]}


def takes(options: type[BuildOptions], fixed: bool = True) -> Callable[[_Function], _Function]:
    """Return a decorator of a function whose ``**how`` are options.

    It writes them out in signature and documentation, and refuses others.

    Parameters
    ----------
    options : type
        The class of options.
    fixed : bool
        Whether those that a run keeps are among them.
    """
    entries = [f for f in fields(options) if fixed or not f.metadata["fixed"]]

    def decorated(function: _Function) -> _Function:
        own = inspect.signature(function)
        kept = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        listed = [
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default)
            .replace(annotation=f.type)
            for f in entries
        ]  # fmt: skip
        signature = own.replace(parameters=[*kept, *listed])

        @functools.wraps(function)
        def checked(*args: Any, **given: Any) -> Any:
            for name in given:
                if name not in signature.parameters:
                    valid = ", ".join(signature.parameters)
                    raise TypeError(f"{function.__name__}: no option {name!r}. Valid: {valid}")
            return function(*args, **given)

        checked.__signature__ = signature  # type: ignore[attr-defined]
        if function.__doc__:
            text = "".join(f"    {line}\n" for f in entries for line in _described(f))
            checked.__doc__ = function.__doc__.replace(_PLACE.format(options.__name__), text)
        return cast(_Function, checked)

    return decorated


def _described(entry: Field[Any]) -> list[str]:
    """Return the lines of an option in a docstring."""
    meaning, unit = entry.metadata["meaning"], entry.metadata["unit"]
    if unit:
        meaning = re.sub("[;.]", rf" [{unit}]\g<0>", meaning, count=1)
    return [f"{entry.name} : {entry.type}, default {entry.default!r}", f"    {meaning}"]
