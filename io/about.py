"""What a run cannot tell and archives ask for: who, where, and what of."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from simcore.services.errors import ConfigError, require

# Fields of the file and of its subject, as NWB names them; lists may hold several texts
_FIELDS = (
    "session_description", "session_id", "session_start_time", "experimenter", "institution", "lab",
    "experiment_description", "protocol", "notes", "keywords", "related_publications",
)  # fmt: skip
_SUBJECT = (
    "subject_id", "species", "strain", "genotype", "sex", "age", "date_of_birth", "weight",
    "description",
)  # fmt: skip
_LISTS = ("experimenter", "keywords", "related_publications")
_TIMES = ("session_start_time", "date_of_birth")


@dataclass(frozen=True)
class About:
    """What a file of NWB tells beside what was recorded.

    Parameters
    ----------
    fields : dict of str to object
        Fields of the file.
    subject : dict of str to object
        Those of its subject; empty for none.
    """

    fields: dict[str, Any]
    subject: dict[str, Any]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> About:
        """Check fields by their names; those of the subject are a mapping, ``"subject"``.

        Raises
        ------
        ConfigError
            When there is no such field, or its value is not as it must be.
        """
        file = {name: value for name, value in given.items() if name != "subject"}
        subject = given.get("subject", {})
        known = isinstance(subject, Mapping)
        valid = f"a table of {list(_SUBJECT)}"
        require(known, "about: subject", subject, valid, error=ConfigError)
        return cls(_checked("", file, _FIELDS), _checked("subject.", subject, _SUBJECT))


def _checked(prefix: str, given: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    valid = f"one of {[f'{prefix}{name}' for name in known]}"
    for name in given:
        require(name in known, "about: field", f"{prefix}{name}", valid, error=ConfigError)
    return {name: _value(f"about: {prefix}{name}", name, value) for name, value in given.items()}


def _value(subject: str, name: str, value: Any) -> Any:
    """Return a value as NWB has it."""
    if name in _TIMES:
        return _moment(subject, value)
    if name in _LISTS and isinstance(value, (list, tuple)):
        return [_text(subject, item) for item in value]
    return [_text(subject, value)] if name in _LISTS else _text(subject, value)


def _text(subject: str, value: Any) -> str:
    text = isinstance(value, str) and value.strip() != ""
    require(text, subject, value, "a text that is not empty", error=ConfigError)
    return str(value)


def _moment(subject: str, value: Any) -> datetime:
    """Return a time, in UTC if it has no zone."""
    found: Any = None
    with suppress(ValueError):
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    if isinstance(found, date) and not isinstance(found, datetime):
        found = datetime.combine(found, time())
    if not isinstance(found, datetime):
        valid = "a time in ISO 8601, as 2024-05-17T09:00:00+02:00"
        raise ConfigError(f"{subject} is {value!r}, must be {valid}")
    return found if found.tzinfo else found.replace(tzinfo=UTC)
