"""Named values that users write: their names and types are checked before anything is built."""

from __future__ import annotations

import difflib
import inspect
import math
import re
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from simcore.services.errors import ConfigError

_WORDS = {
    float: "a number",
    int: "a whole number",
    bool: "true or false",
    str: "a text",
    list: "a list",
    tuple: "a list",
    dict: "a table",
    type(None): "left out",
}


# Units of time, the shortest first [s]
UNITS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a function, as its signature tells.

    Parameters
    ----------
    name : str
        Its name.
    kind : object
        Its type; `inspect.Parameter.empty` when unknown.
    default : object
        Its default; `inspect.Parameter.empty` when it must be given.
    """

    name: str
    kind: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty


def parameters_of(function: Callable[..., Any]) -> tuple[dict[str, Parameter], bool]:
    """Return the named parameters of a function, and whether it takes any others too."""
    try:
        signature = inspect.signature(function, eval_str=True)
    except NameError:
        signature = inspect.signature(function)
    named, others = {}, False
    for p in signature.parameters.values():
        if p.kind is p.VAR_KEYWORD:
            others = True
        elif p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
            unknown = p.annotation is p.empty or isinstance(p.annotation, str)
            kind = _kind_of(p.default) if unknown else p.annotation
            named[p.name] = Parameter(p.name, kind, p.default)
    return named, others


def check_names(subject: str, given: Iterable[str], valid: Iterable[str]) -> None:
    """Raise `ConfigError` for a name that is not valid, with the nearest one that is."""
    valid = list(valid)
    for name in given:
        if name not in valid:
            raise ConfigError(f"{subject} {name!r} is unknown. {suggestion(name, valid)}")


def suggestion(name: str, valid: list[str]) -> str:
    """Return the valid names as a sentence, the nearest one first."""
    folded = {v.lower(): v for v in valid}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    hint = f"Did you mean {folded[near[0]]!r}? " if near else ""
    return f"{hint}Valid: {', '.join(valid)}." if valid else "There are none."


def parse_assignment(text: str) -> tuple[str, Any, str]:
    """Return name, value and text of the value of ``name=value``.

    The value is read as in a TOML file; what is none, such as a bare word, is a text.
    """
    name, equals, raw = text.partition("=")
    name, raw = name.strip(), raw.strip()
    if not equals or not name or not raw:
        raise ConfigError(f"--set is {text!r}, must be NAME=VALUE, such as N_scaling=0.1")
    try:
        return name, tomllib.loads(f"value = {raw}")["value"], raw
    except tomllib.TOMLDecodeError:
        pass
    try:
        return name, float(raw), raw
    except ValueError:
        return name, raw, raw


def convert(subject: str, value: Any, kind: Any, text: str | None = None) -> Any:
    """Return a value as its type asks.

    Parameters
    ----------
    subject : str
        What the value is for, for the message.
    value : object
        The value.
    kind : object
        A type, a union or a Literal; what is none of those known here is not checked.
    text : str, optional
        How the user wrote the value, for parameters that are texts.

    Raises
    ------
    ConfigError
        When the value is of another type.
    """
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    for one in kinds:
        fits, converted = _fit(value, one)
        if fits:
            return converted
    if str in kinds and text is not None:
        return text
    words = " or ".join(_words(one) for one in kinds if one is not type(None))
    raise ConfigError(f"{subject} is {value!r}, must be {words}")


def check_call(
    subject: str,
    function: Callable[..., Any],
    values: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the arguments of a call, checked against the signature.

    Parameters
    ----------
    subject : str
        Whose parameters, for the message.
    function : callable
        What will be called.
    values : mapping of str to object
        The values by name.
    texts : mapping of str to str, optional
        How the user wrote them, where that is known.

    Raises
    ------
    ConfigError
        When a name is unknown, a value of the wrong type, or a parameter missing.
    """
    parameters, others = parameters_of(function)
    if not others:
        check_names(f"{subject}: parameter", values, parameters)
    missing = [p.name for p in parameters.values() if p.required and p.name not in values]
    if missing:
        raise ConfigError(f"{subject}: parameter {missing[0]!r} is missing, must be given")
    texts = texts or {}
    return {
        name: convert(f"{subject}: {name}", value, parameters[name].kind, texts.get(name))
        if name in parameters
        else value
        for name, value in values.items()
    }


def parse_size(subject: str, text: str) -> float:
    """Return a size in bytes that was given as a text such as "80GB" or "16 GiB".

    Parameters
    ----------
    subject : str
        What the size is for, for the message.
    text : str
        The size.

    Raises
    ------
    ConfigError
        When it is no size.
    """
    found = re.fullmatch(r"\s*([0-9.]+)\s*([kKMGT]?)(i?)B\s*", text)
    try:
        number = float(found[1]) if found else 0.0
    except ValueError:
        number = 0.0
    if found is None or not number > 0.0:
        raise ConfigError(f"{subject} is {text!r}, must be a size such as 80GB or 16GiB")
    return number * (1024.0 if found[3] else 1e3) ** " KMGT".index(found[2].upper() or " ")


def parse_time(subject: str, value: float | str, unit: str, least: float = 0.0) -> float:
    """Return a time that was given as a number, or as a text such as "10s" or "1.5 h".

    Parameters
    ----------
    subject : str
        What the time is for, for the message.
    value : float or str
        The time.
    unit : {"ms", "s"}
        Unit of the result, and of a number that has none.
    least : float
        Shortest time that is accepted, in the unit of the result.

    Raises
    ------
    ConfigError
        When it is no time.
    """
    found = re.fullmatch(r"\s*([0-9.eE+-]+)\s*([a-z]*)\s*", str(value))
    try:
        number = float(found[1]) if found else math.nan
    except ValueError:
        number = math.nan
    known = found is not None and (found[2] or unit) in UNITS
    if found is not None and known:
        number *= UNITS[found[2] or unit] / UNITS[unit]
    if not (known and math.isfinite(number) and number >= least):
        raise ConfigError(
            f"{subject} is {value!r}, must be a time such as 30s, 15min, 2h or 500ms; a number "
            f"without unit is in {unit}"
        )
    return number


def parse_window(
    borders: Sequence[float | str | None],
) -> tuple[float | None, float | None]:
    """Return the borders of a window of model time [ms], see `parse_time`; None stays."""
    start, stop = (
        None if time is None else parse_time("window", time, "ms", -math.inf) for time in borders
    )
    return start, stop


def _kind_of(default: Any) -> Any:
    # A whole number without annotation may stand for a real one
    if type(default) is int:
        return int | float
    return type(default) if type(default) in (bool, float, str) else inspect.Parameter.empty


def _fit(value: Any, kind: Any) -> tuple[bool, Any]:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float:
        # What is not finite is kept as text in files
        number = number or value in ("inf", "-inf", "nan")
        return number, float(value) if number else None
    if kind is int:
        whole = number and float(value).is_integer()
        return whole, int(value) if whole else None
    if get_origin(kind) is Literal:
        return value in get_args(kind), value
    base = get_origin(kind) or kind
    if base is tuple and isinstance(value, list):
        return True, tuple(value)
    if base in _WORDS:
        return isinstance(value, base), value
    return True, value


def _words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    return _WORDS.get(get_origin(kind) or kind, str(kind))
