"""What all ranks must have in common, compared before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

from simcore.services.comm import Comm
from simcore.services.digest import digest_json
from simcore.services.errors import ConfigError, ModelError, SimcoreError

# Longest value that a message shows
_SHOWN = 60

# Digits of a digest that tell two from each other
_DIGITS = 16


def require_same(
    comm: Comm,
    values: Mapping[str, Any],
    remedy: str = "Start all ranks with the same options.",
    error: type[SimcoreError] = ConfigError,
) -> None:
    """Raise the same error on all ranks unless all of them have the same values; collective.

    Parameters
    ----------
    comm : Comm
        The ranks.
    values : mapping of str to object
        What is compared, by the names that a message shows. Numbers are compared by value, anything
        else by its `repr`.
    remedy : str
        What to do about it.
    error : type
        The class of error to raise.

    Raises
    ------
    SimcoreError
        Of the class `error`, with the first value that differs, and two ranks that have it.
    """
    own = {name: _plain(value) for name, value in values.items()}
    digests = comm.allgather(digest_json(own))
    other = next((rank for rank, digest in enumerate(digests) if digest != digests[0]), None)
    if other is None:
        return

    # Only now send the values themselves
    shown = comm.allgather({name: (own[name], _short(value)) for name, value in values.items()})
    one, two = shown[0], shown[other]
    name = next(name for name in {**one, **two} if one.get(name) != two.get(name))
    texts = [found[name][1] if name in found else "missing" for found in (one, two)]
    raise error(
        f"{name} is {texts[0]} on rank 0 and {texts[1]} on rank {other}, "
        f"must be the same on all ranks. {remedy}"
    )


def require_same_version(comm: Comm) -> None:
    """Raise `ConfigError` unless all ranks run the same version of simcore."""
    versions = {"the version of simcore": _version()}
    require_same(comm, versions, "Install the same version on all nodes.")


def require_same_network(comm: Comm, model: str, division: str) -> None:
    """Raise `ModelError` unless all ranks have the same model with the same tables, and division.

    Each rank owns the parts of its threads of one division, so every neuron has one owner.
    """
    require_same(
        comm,
        {"Network: the digest of the description": model[:_DIGITS]},
        "Draw random numbers of the model with a fixed seed, and use processors of one kind.",
        ModelError,
    )
    require_same(
        comm,
        {"partition: the digest of who owns which neuron": division[:_DIGITS]},
        "A partitioner must give all ranks the same division.",
        ModelError,
    )


def _version() -> str:
    from simcore import __version__

    return __version__


def _plain(value: Any) -> str:
    """Return a text that is the same for equal values."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    return repr(float(value)) if number else repr(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
