"""Statistics say what they take when they are given something else."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from simcore.services.errors import ConfigError

P = ParamSpec("P")
R = TypeVar("R")


def takes_selections(statistic: Callable[P, R]) -> Callable[P, R]:
    """Return a statistic that refuses what is not a selection, where it should be one.

    Parameters
    ----------
    statistic : callable
        A function; its parameters annotated as ``Selection`` are looked at.

    Returns
    -------
    callable
        Raises `ConfigError` where one of them is something else.
    """
    signature = inspect.signature(statistic)
    names = [n for n, p in signature.parameters.items() if p.annotation == "Selection"]
    assert names

    @functools.wraps(statistic)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        from simcore.io.selection import Selection

        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            # Python says it better
            return statistic(*args, **kwargs)
        for name in names:
            if not isinstance(given[name], Selection):
                raise ConfigError(
                    f"{statistic.__name__}: {name} is of type {type(given[name]).__name__}, must "
                    f"be a Selection, such as run.select({_population(given[name])!r})."
                )
        return statistic(*args, **kwargs)

    return checked


def _population(given: Any) -> str:
    """Return the name of a population for the example."""
    recorded: Any = getattr(given, "recorded", ())
    return str(recorded[0]) if len(recorded) else "E"
