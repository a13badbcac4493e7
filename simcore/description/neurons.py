"""Neuron models: what a population is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.description.rates import Piecewise, Rate, as_rate
from simcore.language.model import NeuronModel
from simcore.language.per_neuron import (
    Varying,
    as_value,
    is_number,
    is_varying,
    require_each,
    require_size,
)
from simcore.services.errors import ModelError, require


@dataclass(frozen=True)
class LIF:
    """Leaky integrate-and-fire neuron, integrated exactly.

    With `tau_syn` each spike adds a current that decays exponentially (NEST's ``iaf_psc_exp``),
    and weights are in pA. Without it each spike lets the potential jump (NEST's
    ``iaf_psc_delta``), and weights are in mV. The method is that of Rotter and Diesmann,
    Biological Cybernetics 81, 381-402 (1999).

    Each parameter but `tau_syn` may also be a distribution, or an array with a value for each
    neuron of the population.

    Parameters
    ----------
    tau_m : float
        Membrane time constant [ms].
    V_th : float
        Threshold [mV].
    t_ref : float
        Refractory time [ms]; rounded up to whole steps.
    E_L : float
        Resting potential [mV].
    V_reset : float
        Potential after a spike [mV].
    C_m : float
        Membrane capacitance [pF].
    I_e : float
        Constant input current [pA].
    tau_syn : float or (float, float), optional
        Synaptic time constant [ms], or one each for excitatory (weight of at least 0) and
        inhibitory input. None means delta synapses.
    """

    tau_m: Any = 10.0
    V_th: Any = 20.0
    t_ref: Any = 2.0
    E_L: Any = 0.0
    V_reset: Any = 0.0
    C_m: Any = 250.0
    I_e: Any = 0.0
    tau_syn: float | tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in _OF_LIF:
            _keep_value(self, name)
        keep_numbers(self, "tau_syn")
        require_each(lambda v: v > 0.0, "LIF: tau_m", self.tau_m, "> 0 [ms]")
        require_each(lambda v: v > 0.0, "LIF: C_m", self.C_m, "> 0 [pF]")
        require_each(lambda v: v >= 0.0, "LIF: t_ref", self.t_ref, ">= 0 [ms]")
        if is_number(self.V_reset) and is_number(self.V_th):
            valid = f"below V_th = {self.V_th!r} [mV]"
            require(self.V_reset < self.V_th, "LIF: V_reset", self.V_reset, valid)
        for tau in self.tau_receptors:
            _require_number("LIF: tau_syn", tau, ", which all neurons of a population share")
            require(tau > 0.0, "LIF: tau_syn", self.tau_syn, "> 0 [ms], one number or two")
        if not (is_number(self.V_reset) and is_number(self.V_th)):
            # The conditions of its equations compare values neuron by neuron
            self.neuron()

    @property
    def tau_receptors(self) -> tuple[float, ...]:
        """Synaptic time constants [ms], one per receptor; none for delta synapses."""
        if self.tau_syn is None:
            return ()
        if isinstance(self.tau_syn, (tuple, list)):
            require(len(self.tau_syn) == 2, "LIF: tau_syn", self.tau_syn, "one number or two")
            excitatory, inhibitory = self.tau_syn
            return (excitatory,) if excitatory == inhibitory else (excitatory, inhibitory)
        return (self.tau_syn,)

    def neuron(self) -> NeuronModel:
        """Return the same as a model of the library."""
        from simcore.library import load

        shared = {name: getattr(self, name) for name in _OF_LIF}
        taus = self.tau_receptors
        if not taus:
            return load("iaf_psc_delta")(**shared)
        if len(taus) == 1:
            return load("iaf_psc_exp_multisynapse")(**shared, tau_syn=taus)
        return load("iaf_psc_exp")(**shared, tau_syn_ex=taus[0], tau_syn_in=taus[1])

    @property
    def weight_unit(self) -> str:
        """Unit of the weights of synapses onto this neuron."""
        return "mV" if self.tau_syn is None else "pA"

    def describe(self) -> dict[str, Any]:
        """Return name and parameters as plain values."""
        values = {name: described(getattr(self, name)) for name in _OF_LIF}
        return {"model": "LIF", **values, "tau_syn": self.tau_syn}


_OF_LIF = ("tau_m", "V_th", "t_ref", "E_L", "V_reset", "C_m", "I_e")


@dataclass(frozen=True)
class PoissonSource:
    """A source of spikes that form a Poisson process, independent for every source.

    Parameters
    ----------
    rate : float, Piecewise, Distribution or array_like of float
        Spikes per second [1/s], of all sources or of each.
    start, stop : float
        The process is on in steps that end after `start` and no later than `stop` [ms].
    """

    rate: Any
    start: float = 0.0
    stop: float = math.inf

    def __post_init__(self) -> None:
        _keep_value(self, "rate")
        keep_numbers(self, "start", "stop")
        require_window("PoissonSource", self.start, self.stop)

    def describe(self) -> dict[str, Any]:
        """Return name and parameters as plain values."""
        window = {"start": self.start, "stop": self.stop}
        return {"model": "PoissonSource", "rate": described(self.rate), **window}


# Up to here float32 keeps a fraction beside the count of events
_MAX_SHAPE = 10_000


@dataclass(frozen=True)
class GammaSource:
    """A source of spikes with gamma distributed intervals, independent for every source.

    It is a renewal process: intervals vary by 1/sqrt(shape) of their mean, and neither begin nor
    end of a run tells them apart. Every `shape`-th event of a Poisson process is a spike; so where
    the rate changes, it is a gamma process in the time that the rate measures.

    Parameters
    ----------
    rate : float, Piecewise, Distribution or array_like of float
        Spikes per second [1/s], of all sources or of each.
    shape : int
        Shape of the distribution of intervals, 1 for a Poisson process.
    start, stop : float
        The process is on in steps that end after `start` and no later than `stop` [ms].

    References
    ----------
    Cox, Renewal theory, Methuen 1962. NEST has ``gamma_sup_generator``.
    """

    rate: Any
    shape: int
    start: float = 0.0
    stop: float = math.inf

    def __post_init__(self) -> None:
        _keep_value(self, "rate")
        keep_numbers(self, "start", "stop")
        whole = isinstance(self.shape, (int, np.integer)) and not isinstance(self.shape, bool)
        valid = f"a whole number in [1, {_MAX_SHAPE}]"
        ok = whole and 1 <= self.shape <= _MAX_SHAPE
        require(ok, "GammaSource: shape", self.shape, valid)
        require_window("GammaSource", self.start, self.stop)
        object.__setattr__(self, "shape", int(self.shape))

    def neuron(self) -> NeuronModel:
        """Return what counts the events of each source."""
        from simcore.library import load

        return load("_every_nth")(shape=self.shape)

    def describe(self) -> dict[str, Any]:
        """Return name and parameters as plain values."""
        rest = {"shape": self.shape, "start": self.start, "stop": self.stop}
        return {"model": "GammaSource", "rate": described(self.rate), **rest}


@dataclass(frozen=True, eq=False)
class SpikeTrains:
    """Sources that emit given spikes.

    Parameters
    ----------
    times : array_like of float, shape (n_spikes,)
        Times of the spikes, multiples of the time step, above 0 [ms].
    node_ids : array_like of int, shape (n_spikes,), optional
        Index within the population of the source of each spike; all 0 if left out.
    """

    times: ArrayLike
    node_ids: ArrayLike | None = None

    def __post_init__(self) -> None:
        times = np.atleast_1d(np.asarray(self.times, dtype=np.float64))
        ids = np.zeros(times.shape, dtype=np.int64)
        if self.node_ids is not None:
            ids = _as_indices("SpikeTrains: node_ids", self.node_ids)
        require(
            times.ndim == 1 and ids.shape == times.shape,
            "SpikeTrains: shape of node_ids",
            ids.shape,
            f"that of times, {times.shape}",
        )
        if times.size:
            bad = times[~(np.isfinite(times) & (times > 0.0))]
            require(bad.size == 0, "SpikeTrains: times", bad[:1].tolist(), "finite and > 0 [ms]")
            require(int(ids.min()) >= 0, "SpikeTrains: node_ids", int(ids.min()), ">= 0")
        order = np.lexsort((ids, times))
        object.__setattr__(self, "times", times[order])
        object.__setattr__(self, "node_ids", ids[order])

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return times [ms] and indices of the sources, sorted by time, then index."""
        return np.asarray(self.times), np.asarray(self.node_ids)

    def describe(self) -> dict[str, Any]:
        """Return name and a digest of the spikes as plain values."""
        from simcore.services.digest import digest_arrays

        times, ids = self.arrays()
        return {"model": "SpikeTrains", "n_spikes": times.size, "digest": digest_arrays(times, ids)}


Model = LIF | NeuronModel | PoissonSource | GammaSource | SpikeTrains


def require_sizes(model: Model, size: int, whose: str) -> None:
    """Raise `ModelError` unless each array among the parameters has a value for each neuron."""
    for name, value in varying_of(model).items():
        require_size(value, size, f"{whose}: {name}", "the population")


def varying_of(model: Model) -> Mapping[str, Varying]:
    """Return the parameters of a model that differ from neuron to neuron, by name."""
    if isinstance(model, LIF):
        return model.neuron().varying
    if isinstance(model, NeuronModel):
        return model.varying
    rate = getattr(model, "rate", None)
    return {"rate": rate} if is_varying(rate) else {}


def described(value: Rate) -> Any:
    """Return a number as it is, and what differs with time or from neuron to neuron as values."""
    if isinstance(value, Piecewise):
        return asdict(value)
    return value.describe() if is_varying(value) else value


def _keep_value(instance: Any, name: str) -> None:
    """Replace a list or an array by one that cannot be changed and can be compared."""
    value = getattr(instance, name)
    read = as_rate if name == "rate" else as_value
    kept = read(value, f"{type(instance).__name__}: {name}")
    if not isinstance(value, (int, float)):
        object.__setattr__(instance, name, kept)


def keep_numbers(instance: Any, *names: str) -> None:
    """Replace numbers of NumPy, also in a tuple, by those of Python, which all texts can hold."""
    for name in names:
        value = getattr(instance, name)
        if isinstance(value, tuple):
            value = tuple(v.item() if isinstance(v, np.generic) else v for v in value)
        object.__setattr__(instance, name, value.item() if isinstance(value, np.generic) else value)


def require_window(subject: str, start: float, stop: float) -> None:
    """Raise `ModelError` unless 0 <= start < stop [ms]; `stop` may be infinite."""
    _require_number(f"{subject}: start", start)
    if not is_number(stop) or math.isnan(stop):
        raise ModelError(f"{subject}: stop is {stop!r}, must be a number or infinity [ms]")
    require(start >= 0.0, f"{subject}: start", start, ">= 0 [ms]")
    require(start < stop, f"{subject}: stop", stop, f"above start = {start!r} [ms]")


def _require_number(subject: str, value: Any, more: str = "") -> None:
    if not is_number(value) or not math.isfinite(value):
        raise ModelError(f"{subject} is {value!r}, must be a finite number{more}")


def _as_indices(subject: str, values: ArrayLike) -> NDArray[np.int64]:
    given = np.atleast_1d(np.asarray(values))
    whole = given.size == 0 or given.dtype.kind in "iu"
    require(whole, f"{subject}: type", str(given.dtype), "an integer type")
    return given.astype(np.int64)
