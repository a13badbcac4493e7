"""Neuron models under NEST's names, a file each.

A file defines one subclass of `simcore.language.model.NeuronModel`, with the name of the file.
Nothing else knows of it: `names` lists the files, `load` imports one.
"""

from __future__ import annotations

import importlib
import pkgutil

from simcore.language.model import NeuronModel


def names() -> list[str]:
    """Return the names of all models, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def load(name: str) -> type[NeuronModel]:
    """Return a model by name."""
    return getattr(importlib.import_module(f"{__name__}.{name}"), name)
