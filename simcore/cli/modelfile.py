"""Find a model by name or file, and build the network it describes.

A model is a built-in name, a Python file with a function ``build(**parameters)`` that returns a
`Network`, or a TOML file that names one of these and its parameters.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import simcore.models
from simcore.cli.parameters import check_call, parameters_of, suggestion
from simcore.description.network import Network
from simcore.services.errors import ConfigError, ModelError, SimcoreError
from simcore.services.failure import exit_call


@dataclass(frozen=True)
class Model:
    """A function that builds a network, and where it comes from.

    Parameters
    ----------
    name : str
        Name of the built-in model, or of the file without its ending.
    origin : str
        What messages call it.
    module : module
        The module that defines ``build``.
    place : str
        What `find_model` finds it by, from any folder.
    """

    name: str
    origin: str
    module: ModuleType
    place: str

    @property
    def build(self) -> Callable[..., Network]:
        """The function that builds the network."""
        return self.module.build

    def arguments(
        self, values: Mapping[str, Any], texts: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the parameters given, with names and types checked against ``build``."""
        return check_call(self.origin, self.build, values, texts)

    def network(self, values: Mapping[str, Any], seed: int | None = None) -> Network:
        """Build the network.

        Parameters
        ----------
        values : mapping of str to object
            Parameters, as `arguments` returned them.
        seed : int, optional
            Seed of all random numbers in place of the model's own.

        Raises
        ------
        ModelError
            When ``build`` fails or returns something else.
        """
        values = dict(values)
        if seed is not None and "seed" in parameters_of(self.build)[0]:
            values["seed"] = seed
        try:
            network = self.build(**values)
        except SimcoreError as error:
            known = str(error).startswith(f"{self.name}:")
            raise type(error)(str(error) if known else f"{self.origin}: {error}") from error
        except (Exception, SystemExit) as error:
            raise ModelError(f"{self.origin}: build() failed: {_where(error)}") from error
        if not isinstance(network, Network):
            raise ModelError(
                f"{self.origin}: build() returned {network!r}, must return a simcore.Network"
            )
        if seed is not None:
            network.seed = Network(seed).seed
        return network

    def reference_rates(self, values: Mapping[str, Any]) -> dict[str, float] | None:
        """Return published rates by population [1/s]; None where the model knows none."""
        function = getattr(self.module, "reference_rates", None)
        if function is None:
            return None
        named, _ = parameters_of(self.build)
        defaults = {p.name: p.default for p in named.values() if not p.required}
        return function(**{**defaults, **values})


def builtin_names() -> list[str]:
    """Return the names of the built-in models."""
    modules = pkgutil.iter_modules(simcore.models.__path__)
    return sorted(m.name for m in modules if not m.name.startswith("_"))


def find_model(name: str, folder: Path | None = None) -> Model:
    """Return the model of a name or a Python file.

    Parameters
    ----------
    name : str
        Name of a built-in model, or path of a file that ends in ``.py``.
    folder : Path, optional
        What a relative path starts from; the working directory if left out.

    Raises
    ------
    ConfigError
        When there is no such model.
    ModelError
        When the file fails or has no ``build``.
    """
    if name.endswith(".py"):
        return _from_file((folder or Path()) / name)
    names = builtin_names()
    if name in names:
        return Model(
            name, f"model {name!r}", importlib.import_module(f"simcore.models.{name}"), name
        )
    raise ConfigError(
        f"model {name!r} is unknown, must be a built-in name or a file ending in .py or .toml. "
        f"{suggestion(name, names)}"
    )


def _from_file(path: Path) -> Model:
    if not path.is_file():
        raise ConfigError(f"model file {str(path)!r} does not exist, must be a Python file")
    module = _load(path)
    if not callable(getattr(module, "build", None)):
        raise ModelError(
            f"{path}: has no function build(**parameters), must define one that returns a "
            "simcore.Network"
        )
    return Model(path.stem, str(path), module, str(path.resolve()))


def _load(path: Path) -> ModuleType:
    name = f"simcore_model_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path}: cannot be imported as a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module

    # Let the file import its neighbours
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ModelError(f"{path}: cannot be imported: {_where(error)}") from error
    return module


def _where(error: BaseException) -> str:
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, SystemExit):
        what = exit_call(error)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename not in (__file__, "<frozen importlib._bootstrap>")]
    own = [f for f in own if "importlib" not in f.filename]
    return f"{what} ({own[-1].filename}, line {own[-1].lineno})" if own else what
