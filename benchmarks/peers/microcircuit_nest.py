"""The cortical microcircuit of Potjans and Diesmann (2014) in NEST, as a peer to compare with.

Builds the network, discards ``--presim`` milliseconds, measures ``--duration`` milliseconds, and
writes times, memory and the mean rate as JSON; with ``--record`` also the rate and irregularity
of every population, and as NPZ beside it those of every neuron (without a recorder NEST counts the
spikes of all neurons together)::

    python microcircuit_nest.py --drive dc --threads 4 --record --json dc.json

The full network holds 299 million synapses in 12 GB and needs at least three threads, since NEST
numbers the synapses of a thread with 27 bits. Needs ``nest-simulator`` and NumPy only.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

POPULATIONS = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
NUM_NEURONS = np.array([20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948])

# Probability of at least one synapse between two neurons: row = target, column = source
CONNECTION_PROBABILITY = np.array(
    [
        [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0000, 0.0076, 0.0000],
        [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0000, 0.0042, 0.0000],
        [0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0000],
        [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0000, 0.1057, 0.0000],
        [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0000],
        [0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0000],
        [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
        [0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443],
    ]
)

# Neuron and time step [ms, mV, pF]
RESOLUTION = 0.1
TAU_SYN = 0.5
NEURON = {
    "E_L": -65.0,
    "V_th": -50.0,
    "V_reset": -65.0,
    "C_m": 250.0,
    "tau_m": 10.0,
    "tau_syn_ex": TAU_SYN,
    "tau_syn_in": TAU_SYN,
    "t_ref": 2.0,
}
V_INIT_MEAN = np.array([-68.28, -63.16, -63.33, -63.45, -63.11, -61.66, -66.72, -61.43])
V_INIT_SD = np.array([5.36, 4.57, 4.74, 4.94, 4.94, 4.55, 5.46, 4.48])

# Synapses: excitatory PSP [mV], relative strengths, mean delays [ms], relative deviations
PSP = 0.15
INHIBITION = -4.0
L4E_TO_L23E = 2.0
WEIGHT_REL_SD = 0.1
DELAY_EXC = 1.5
DELAY_INH = 0.75
DELAY_REL_SD = 0.5

# External input: inputs per neuron, and the rate [1/s] of each
K_EXT = np.array([1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100])
RATE_EXT = 8.0
DELAY_EXT = 1.5

# Mean rates [1/s] of the full network, which compensate for synapses left out
FULL_RATES = np.array([0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829])


@dataclass(frozen=True)
class Network:
    """Sizes and mean weights of the microcircuit at one scale.

    Attributes
    ----------
    num_neurons : ndarray of int, shape (8,)
        Neurons of each population.
    num_synapses : ndarray of int, shape (8, 8)
        Synapses of each projection, row = target, column = source.
    weights : ndarray of float, shape (8, 8)
        Mean weights [pA], row = target, column = source.
    weight_ext : float
        Weight of the external inputs [pA].
    current : ndarray of float, shape (8,)
        Constant current into each neuron [pA].
    rate_ext : ndarray of float, shape (8,)
        Poisson input of each neuron [1/s], zero when the drive is a current.
    """

    num_neurons: IntArray
    num_synapses: IntArray
    weights: FloatArray
    weight_ext: float
    current: FloatArray
    rate_ext: FloatArray


def psc_amplitude(psp: float = PSP) -> float:
    """Return the amplitude [pA] of the exponential current whose PSP peaks at `psp` [mV]."""
    tau_m, tau_syn = NEURON["tau_m"], TAU_SYN
    rate = 1.0 / (tau_syn - tau_m)
    ratio = (tau_m / tau_syn) ** rate
    peak = tau_m * tau_syn / NEURON["C_m"] * rate * (ratio**tau_m - ratio**tau_syn)
    return psp / peak


def full_synapse_numbers() -> FloatArray:
    """Return the expected synapses of each projection at full scale, not yet rounded.

    Returns
    -------
    ndarray of float, shape (8, 8)
        The number of draws with replacement, among all pairs, that connects a pair at least once
        with the wanted probability; row = target, column = source.
    """
    pairs = np.outer(NUM_NEURONS, NUM_NEURONS).astype(float)
    return np.log(1.0 - CONNECTION_PROBABILITY) / np.log((pairs - 1.0) / pairs)


def full_weights() -> FloatArray:
    """Return the mean weights [pA] at full scale, shape (8, 8), row = target, column = source."""
    weights = np.full((8, 8), psc_amplitude())
    weights[:, 1::2] *= INHIBITION
    weights[POPULATIONS.index("L23E"), POPULATIONS.index("L4E")] *= L4E_TO_L23E
    return weights


def scale_network(n_scaling: float, k_scaling: float, drive: str) -> Network:
    """Shrink populations and in-degrees, keeping mean and variance of the input to a neuron.

    Weights grow by ``1 / sqrt(k_scaling)``, which keeps the variance, and a constant current
    makes up for the change of the mean.

    Parameters
    ----------
    n_scaling, k_scaling : float
        Fractions of the neurons and of the synapses per neuron, in (0, 1].
    drive : {"dc", "poisson"}
        Constant current, or Poisson spikes of the same mean.

    Returns
    -------
    Network
        Sizes, mean weights and external input.
    """
    synapses, weights, weight_ext = full_synapse_numbers(), full_weights(), psc_amplitude()
    ext_input = K_EXT * RATE_EXT * weight_ext
    rec_input = (weights * synapses / NUM_NEURONS[:, None]) @ FULL_RATES

    # Currents [pA] from inputs in pA/s, with the synaptic time constant in ms
    lost = 0.001 * TAU_SYN * (1.0 - np.sqrt(k_scaling))
    current = lost * rec_input
    current += (lost if drive == "poisson" else 0.001 * TAU_SYN) * ext_input

    inputs = np.round(K_EXT * k_scaling) if drive == "poisson" else np.zeros(8)
    return Network(
        num_neurons=np.round(NUM_NEURONS * n_scaling).astype(int),
        num_synapses=np.round(synapses * n_scaling * k_scaling).astype(int),
        weights=weights / np.sqrt(k_scaling),
        weight_ext=weight_ext / np.sqrt(k_scaling),
        current=current,
        rate_ext=inputs * RATE_EXT,
    )


def start_nest(seed: int, threads: int, resolution: float = RESOLUTION) -> ModuleType:
    """Import NEST with threads that sleep while waiting, and reset its kernel.

    Parameters
    ----------
    seed : int
        Seed of all random numbers.
    threads : int
        Number of threads; more than the cores is allowed.
    resolution : float
        Time step [ms].

    Returns
    -------
    module
        The module ``nest``.
    """
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ.setdefault("PYNEST_QUIET", "1")
    import nest

    nest.verbosity = nest.VerbosityLevel.ERROR
    nest.ResetKernel()
    nest.set(resolution=resolution, local_num_threads=threads, rng_seed=seed, print_time=False)
    return nest


def create_neurons(nest: ModuleType, network: Network) -> list[Any]:
    """Create the populations with normally distributed membrane voltages."""
    populations = []
    for size, current, mean, sd in zip(
        network.num_neurons, network.current, V_INIT_MEAN, V_INIT_SD, strict=True
    ):
        neurons = nest.Create("iaf_psc_exp", int(size), {**NEURON, "I_e": float(current)})
        neurons.V_m = nest.random.normal(float(mean), float(sd))
        populations.append(neurons)
    return populations


def connect_recurrent(nest: ModuleType, network: Network, populations: list[Any]) -> None:
    """Connect the populations; weights keep their sign, and delays are at least half a step."""
    for target, source in np.argwhere(network.num_synapses):
        weight = float(network.weights[target, source])
        delay = DELAY_EXC if weight > 0 else DELAY_INH
        nest.Connect(
            populations[source],
            populations[target],
            {"rule": "fixed_total_number", "N": int(network.num_synapses[target, source])},
            {
                "synapse_model": "static_synapse",
                "weight": nest.math.redraw(
                    nest.random.normal(weight, WEIGHT_REL_SD * abs(weight)),
                    min=0.0 if weight > 0 else -np.inf,
                    max=np.inf if weight > 0 else 0.0,
                ),
                "delay": nest.math.redraw(
                    nest.random.normal(delay, DELAY_REL_SD * delay),
                    min=0.5 * RESOLUTION,
                    max=np.inf,
                ),
            },
        )


def connect_background(nest: ModuleType, network: Network, populations: list[Any]) -> None:
    """Drive every neuron with a Poisson process of its own, where the network has any."""
    for neurons, rate in zip(populations, network.rate_ext, strict=True):
        if rate > 0.0:
            generator = nest.Create("poisson_generator", params={"rate": float(rate)})
            synapse = {"weight": network.weight_ext, "delay": DELAY_EXT}
            nest.Connect(generator, neurons, syn_spec=synapse)


@contextmanager
def timed(times: dict[str, float], phase: str) -> Iterator[None]:
    """Store the wall time [s] that the body takes as ``times[phase]``.

    The processor time of all threads, which tells whether the machine was busy with something
    else, is stored as ``times[phase_cpu]``.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    times[phase] = time.perf_counter() - wall
    times[f"{phase}_cpu"] = time.process_time() - cpu


def peak_memory() -> float:
    """Return the largest resident memory that this process ever had [GB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def describe(
    nest: ModuleType, options: argparse.Namespace, neurons: int, synapses: int
) -> dict[str, Any]:
    """Return what was run: options, version of NEST, and size of the network."""
    arguments = {key: value for key, value in vars(options).items() if key != "json"}
    size = {"neurons": neurons, "synapses": synapses}
    return {"options": arguments, "nest": nest.__version__, **size}


def simulate(
    nest: ModuleType, times: dict[str, float], neurons: int, presim: float, duration: float
) -> dict[str, Any]:
    """Run the transient and the measured phase.

    Parameters
    ----------
    nest : module
        NEST, with the network built.
    times : dict
        Wall times [s]; ``presim``, ``simulate`` and ``prepare`` (the part of ``presim`` in which
        NEST sorts its synapses) are added.
    neurons : int
        Number of neurons, over which the mean rate is taken.
    presim, duration : float
        Model time of the two phases [ms].

    Returns
    -------
    dict
        Real-time factor, spikes and mean rate [1/s] of the measured phase, and peak memory [GB].
    """
    with timed(times, "presim"):
        nest.Simulate(presim)
    times["prepare"] = float(np.max(nest.kernel_status["time_communicate_prepare"]))
    with timed(times, "simulate"):
        nest.Simulate(duration)

    # Spikes of the most recent call of Simulate only
    spikes = int(nest.local_spike_counter)
    return {
        "rtf": times["simulate"] / (duration / 1000.0),
        "spikes": spikes,
        "mean_rate": spikes / neurons / (duration / 1000.0),
        "peak_rss_gb": peak_memory(),
    }


def add_recorder(nest: ModuleType, populations: list[Any], start: float) -> Any:
    """Record all spikes after `start` [ms] to memory, and return the recorder."""
    recorder = nest.Create("spike_recorder", params={"start": start, "record_to": "memory"})
    for neurons in populations:
        nest.Connect(neurons, recorder)
    return recorder


def count_spikes(senders: IntArray, first_id: int, size: int) -> IntArray:
    """Return the number of spikes of each of `size` neurons with consecutive ids."""
    inside = senders[(senders >= first_id) & (senders < first_id + size)]
    return np.bincount(inside - first_id, minlength=size)


def interval_cv(senders: IntArray, times: FloatArray, first_id: int, size: int) -> FloatArray:
    """Return the coefficient of variation of each neuron's interspike intervals.

    Parameters
    ----------
    senders, times : ndarray, shape (spikes,)
        Neuron id and time [ms] of every spike, in any order.
    first_id, size : int
        The neurons are ``first_id`` to ``first_id + size - 1``.

    Returns
    -------
    ndarray of float, shape (size,)
        Standard deviation over mean, NaN for neurons with fewer than three spikes.
    """
    order = np.lexsort((times, senders))
    senders, times = senders[order], times[order]
    same = np.diff(senders) == 0
    owner, interval = senders[1:][same] - first_id, np.diff(times)[same]
    inside = (owner >= 0) & (owner < size)
    owner, interval = owner[inside], interval[inside]

    number = np.bincount(owner, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(owner, interval, minlength=size) / number
        square = np.bincount(owner, (interval - mean[owner]) ** 2, minlength=size) / number
        return np.where(number >= 2, np.sqrt(square) / mean, np.nan)


def population_statistics(
    recorder: Any, names: tuple[str, ...], populations: list[Any], duration: float
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Evaluate the recorded spikes.

    Parameters
    ----------
    recorder : NodeCollection or None
        Spike recorder of all neurons; without one both results are empty.
    names : tuple of str
        Names of the populations.
    populations : list of NodeCollection
        The populations, each with consecutive ids.
    duration : float
        Recorded model time [ms].

    Returns
    -------
    summary : dict
        Per population the mean rate [1/s], the mean CV and the number of neurons it rests on.
    neurons : dict of ndarray
        Spike count and CV of every neuron, named ``<population>_count`` and ``<population>_cv``.
    """
    if recorder is None:
        return {}, {}
    events = recorder.events
    senders = np.asarray(events["senders"], dtype=np.int64)
    times = np.asarray(events["times"], dtype=float)
    summary: dict[str, Any] = {"rates": {}, "mean_cv": {}, "neurons_in_cv": {}}
    neurons: dict[str, NDArray[Any]] = {}
    for name, population in zip(names, populations, strict=True):
        first_id, size = population[0].global_id, len(population)
        count = count_spikes(senders, first_id, size)
        cv = interval_cv(senders, times, first_id, size)
        neurons |= {f"{name}_count": count, f"{name}_cv": cv}
        summary["rates"][name] = float(count.sum() / size / (duration / 1000.0))
        defined = int(np.isfinite(cv).sum())
        summary["mean_cv"][name] = float(np.nanmean(cv)) if defined else None
        summary["neurons_in_cv"][name] = defined
    summary["recorded_spikes"] = len(senders)
    return summary, neurons


def write_result(path: Path, result: dict[str, Any], neurons: dict[str, NDArray[Any]]) -> None:
    """Write the summary as JSON and, when there are any, arrays per neuron as NPZ beside it."""
    if neurons:
        np.savez_compressed(path.with_suffix(".npz"), **neurons)
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2), flush=True)


def add_run_options(parser: argparse.ArgumentParser, presim: float, duration: float) -> None:
    """Add the options that every NEST peer has."""
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--presim", type=float, default=presim, metavar="MS")
    parser.add_argument("--duration", type=float, default=duration, metavar="MS")
    parser.add_argument("--record", action="store_true", help="record all spikes to memory")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description="PD14 cortical microcircuit in NEST")
    parser.add_argument("--n-scaling", type=float, default=1.0, help="fraction of the neurons")
    parser.add_argument("--k-scaling", type=float, default=1.0, help="fraction of the in-degrees")
    parser.add_argument("--drive", choices=("dc", "poisson"), default="poisson")
    add_run_options(parser, presim=500.0, duration=2000.0)
    return parser.parse_args()


def main() -> None:
    """Build, simulate, evaluate and write the microcircuit."""
    options = parse_arguments()
    network = scale_network(options.n_scaling, options.k_scaling, options.drive)
    nest = start_nest(options.seed, options.threads)
    times: dict[str, float] = {}

    with timed(times, "create"):
        populations = create_neurons(nest, network)
    with timed(times, "connect"):
        connect_recurrent(nest, network, populations)
        synapses = int(nest.num_connections)
        connect_background(nest, network, populations)
        recorder = add_recorder(nest, populations, options.presim) if options.record else None

    size = int(network.num_neurons.sum())
    measured = simulate(nest, times, size, options.presim, options.duration)
    header = describe(nest, options, size, synapses)
    summary, neurons = population_statistics(recorder, POPULATIONS, populations, options.duration)
    write_result(options.json, {**header, "times_s": times, **measured, **summary}, neurons)


if __name__ == "__main__":
    main()
