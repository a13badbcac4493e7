"""Libraries that only some commands need."""

from __future__ import annotations

import importlib
from typing import Any

from simcore.services.errors import ConfigError


def load(module: str, extra: str, purpose: str) -> Any:
    """Return a module that is not installed with simcore alone.

    Parameters
    ----------
    module : str
        Its name.
    extra : str
        The extra of simcore that installs it.
    purpose : str
        What needs it.

    Raises
    ------
    ConfigError
        When it is missing; it tells how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise ConfigError(
            f"{purpose}: {name} is not installed. Install it with pip install 'simcore[{extra}]'."
        ) from error
