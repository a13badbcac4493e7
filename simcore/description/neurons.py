"""Neuron models: what a population is made of."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.description.rates import Rate, require_rate
from simcore.language.model import NeuronModel
from simcore.services.errors import ModelError, require


@dataclass(frozen=True)
class LIF:
    """Leaky integrate-and-fire neuron, integrated exactly.

    With `tau_syn` each spike adds a current that decays exponentially (NEST's ``iaf_psc_exp``),
    and weights are in pA. Without it each spike lets the potential jump (NEST's
    ``iaf_psc_delta``), and weights are in mV. The method is that of Rotter and Diesmann,
    Biological Cybernetics 81, 381-402 (1999).

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

    tau_m: float = 10.0
    V_th: float = 20.0
    t_ref: float = 2.0
    E_L: float = 0.0
    V_reset: float = 0.0
    C_m: float = 250.0
    I_e: float = 0.0
    tau_syn: float | tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in ("tau_m", "V_th", "t_ref", "E_L", "V_reset", "C_m", "I_e"):
            _require_number(f"LIF: {name}", getattr(self, name))
        for name, unit in (("tau_m", "ms"), ("C_m", "pF")):
            value = getattr(self, name)
            require(value > 0.0, f"LIF: {name}", value, f"> 0 [{unit}]")
        require(self.t_ref >= 0.0, "LIF: t_ref", self.t_ref, ">= 0 [ms]")
        require(
            self.V_reset < self.V_th,
            "LIF: V_reset",
            self.V_reset,
            f"below V_th = {self.V_th!r} [mV]",
        )
        for tau in self.tau_receptors:
            _require_number("LIF: tau_syn", tau)
            require(tau > 0.0, "LIF: tau_syn", self.tau_syn, "> 0 [ms], one number or two")

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

        shared = {
            name: getattr(self, name)
            for name in ("tau_m", "V_th", "t_ref", "E_L", "V_reset", "C_m", "I_e")
        }
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
        return {"model": "LIF", **asdict(self)}


@dataclass(frozen=True)
class PoissonSource:
    """A source of spikes that form a Poisson process, independent for every source.

    Parameters
    ----------
    rate : float or Piecewise
        Spikes per second [1/s].
    start, stop : float
        The process is on in steps that end after `start` and no later than `stop` [ms].
    """

    rate: Rate
    start: float = 0.0
    stop: float = math.inf

    def __post_init__(self) -> None:
        require_rate("PoissonSource: rate", self.rate)
        require_window("PoissonSource", self.start, self.stop)

    def describe(self) -> dict[str, Any]:
        """Return name and parameters as plain values."""
        return {"model": "PoissonSource", **asdict(self)}


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
    rate : float or Piecewise
        Spikes per second [1/s].
    shape : int
        Shape of the distribution of intervals, 1 for a Poisson process.
    start, stop : float
        The process is on in steps that end after `start` and no later than `stop` [ms].

    References
    ----------
    Cox, Renewal theory, Methuen 1962. NEST has ``gamma_sup_generator``.
    """

    rate: Rate
    shape: int
    start: float = 0.0
    stop: float = math.inf

    def __post_init__(self) -> None:
        require_rate("GammaSource: rate", self.rate)
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
        return {"model": "GammaSource", **asdict(self)}


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


def require_window(subject: str, start: float, stop: float) -> None:
    """Raise `ModelError` unless 0 <= start < stop [ms]; `stop` may be infinite."""
    _require_number(f"{subject}: start", start)
    if not _is_number(stop) or math.isnan(stop):
        raise ModelError(f"{subject}: stop is {stop!r}, must be a number or infinity [ms]")
    require(start >= 0.0, f"{subject}: start", start, ">= 0 [ms]")
    require(start < stop, f"{subject}: stop", stop, f"above start = {start!r} [ms]")


def _require_number(subject: str, value: Any) -> None:
    if not _is_number(value) or not math.isfinite(value):
        raise ModelError(f"{subject} is {value!r}, must be a finite number")


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float, np.integer, np.floating))
    return number and not isinstance(value, bool)


def _as_indices(subject: str, values: ArrayLike) -> NDArray[np.int64]:
    given = np.atleast_1d(np.asarray(values))
    whole = given.size == 0 or given.dtype.kind in "iu"
    require(whole, f"{subject}: type", str(given.dtype), "an integer type")
    return given.astype(np.int64)
