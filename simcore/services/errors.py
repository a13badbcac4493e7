"""Errors that name the object, the value, the valid range and the remedy."""

from __future__ import annotations

import errno
import os
import re
from typing import Any


class SimcoreError(Exception):
    """Base of every error that simcore raises on purpose."""


class ModelError(SimcoreError, ValueError):
    """The description of a model is wrong."""


class ConfigError(SimcoreError, ValueError):
    """An option of a run is wrong."""


class CapacityError(SimcoreError, ValueError):
    """The model does not fit a table, an index or the memory."""


class OutputError(SimcoreError, OSError):
    """A file cannot be written or read."""


class DamagedError(OutputError):
    """A file is missing, or not as it was written."""


class CommError(SimcoreError, RuntimeError):
    """The ranks of a job do not form the world that was asked for."""


class StateError(SimcoreError, ArithmeticError):
    """The state of a simulation has become meaningless."""


class StoppedError(SimcoreError, SystemExit):
    """A run was asked to stop; it wrote a checkpoint and can be resumed.

    Where nobody catches it the process ends with the exit code 75, "temporary failure", after
    which a job can be put back into the queue.
    """

    EXIT_CODE = 75

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.code = self.EXIT_CODE


def require(
    condition: bool,
    subject: str,
    value: Any,
    valid: str,
    remedy: str = "",
    error: type[SimcoreError] = ModelError,
) -> None:
    """Raise `error` unless `condition` holds.

    Parameters
    ----------
    condition : bool
        What must be true.
    subject : str
        The object and parameter, such as ``"population 'E': tau_m"``.
    value : object
        The value that was given.
    valid : str
        The valid range in words, such as ``"> 0 [ms]"``.
    remedy : str, optional
        What to do about it.
    error : type, optional
        The class of error to raise.

    Raises
    ------
    SimcoreError
        Of the class `error`, when `condition` is false.
    """
    if condition:
        return
    text = f"{subject} is {value!r}, must be {valid}"
    raise error(f"{text}. {remedy}" if remedy else text)


# What to do about an error of the system, by its number; else the file system is to be looked at
_REMEDIES = {
    "Free some space": (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    "Make the folder writable": (errno.EACCES, errno.EPERM, errno.EROFS),
    "Choose a shorter name": (errno.ENAMETOOLONG,),
}


def cause(error: BaseException) -> str:
    """Return the reason that the system or HDF5 gave, in a few words."""
    code = _number(error)
    return os.strerror(code) if code else str(error)


def remedy(error: BaseException) -> str:
    """Return what to do about a file that cannot be written, without a full stop."""
    code = _number(error)
    fitting = (text for text, codes in _REMEDIES.items() if code in codes)
    return next(fitting, "Look after the folder and its file system")


def unwritable(what: str, error: BaseException) -> OutputError:
    """Return the error of something that cannot be written, with the cause and the remedy."""
    text = f"{what} cannot be written: {cause(error)}"
    return OutputError(f"{text}. {remedy(error)}." if _number(error) else text)


def _number(error: BaseException) -> int:
    """Return the number of an error of the system, also where HDF5 tells it in a text; else 0."""
    known = getattr(error, "errno", None)
    told = re.search(r"errno = (\d+)", str(error))
    return int(known or (told[1] if told else 0))
