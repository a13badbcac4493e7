"""Distributed simulation of large networks of spiking neurons."""

from __future__ import annotations

from pathlib import Path as _Path
from typing import TYPE_CHECKING as _TYPE_CHECKING

__version__ = "0.1.0.dev0"

# Find the packages that live beside this one when the repository is the working directory
if not (_Path(__file__).parent / "io").is_dir():
    __path__.append(str(_Path(__file__).parent.parent))

if _TYPE_CHECKING:
    from collections.abc import Mapping as _Mapping

    from simcore.io import Run as _Run
    from simcore.io import SonataFile as _SonataFile

from simcore.description.connectivity import (
    AllToAll,
    Edges,
    FixedIndegree,
    FixedOutdegree,
    FixedTotalNumber,
    OneToOne,
    PairwiseBernoulli,
)
from simcore.description.distributions import (
    Constant,
    Distribution,
    Lognormal,
    Normal,
    Scaled,
    Uniform,
)
from simcore.description.network import Network
from simcore.description.neurons import LIF, GammaSource, PoissonSource, SpikeTrains
from simcore.description.rates import Piecewise
from simcore.description.stimulus import Current, Poisson
from simcore.language.model import NeuronModel
from simcore.services.errors import SimcoreError, StateError, StoppedError
from simcore.simulation.job import resume, simulate
from simcore.simulation.simulation import Simulation

__all__ = [
    "LIF",
    "AllToAll",
    "Constant",
    "Current",
    "Distribution",
    "Edges",
    "FixedIndegree",
    "FixedOutdegree",
    "FixedTotalNumber",
    "GammaSource",
    "Lognormal",
    "Network",
    "NeuronModel",
    "Normal",
    "OneToOne",
    "PairwiseBernoulli",
    "Piecewise",
    "Poisson",
    "PoissonSource",
    "Scaled",
    "SimcoreError",
    "Simulation",
    "SpikeTrains",
    "StateError",
    "StoppedError",
    "Uniform",
    "open_run",
    "resume",
    "simulate",
]


def __getattr__(name: str) -> type[NeuronModel]:
    """Return a model of the library under NEST's name, such as `iaf_cond_exp`."""
    from simcore.library import load, names

    if not name.startswith("_") and name in names():
        return load(name)
    raise AttributeError(f"module 'simcore' has no attribute {name!r}")


def open_run(
    path: str | _Path,
    sizes: _Mapping[str, int] | None = None,
    begin: float | None = None,
    end: float | None = None,
) -> _Run | _SonataFile:
    """Return a lazy view of a run, or of a SONATA spike file that another program wrote.

    Parameters
    ----------
    path : str or path
        The file.
    sizes : mapping of str to int, optional
        Number of neurons of each population, where the file does not tell.
    begin, end : float, optional
        What was recorded, where the file does not tell: spikes after `begin`, up to and with `end`
        [ms].

    Returns
    -------
    simcore.io.Run or simcore.io.SonataFile

    Raises
    ------
    OutputError
        When the file is missing, damaged or something else.
    ModelError, ConfigError
        When what is told does not fit the file, or the file tells itself.
    """
    from simcore.io import open_recording

    return open_recording(path, sizes, begin, end)
