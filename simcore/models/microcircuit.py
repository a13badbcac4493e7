"""The cortical microcircuit: one square millimetre of early sensory cortex at full density.

T. C. Potjans and M. Diesmann, The cell-type specific cortical microcircuit: relating structure
and activity in a full-scale spiking network model, Cerebral Cortex 24, 785-806 (2014). Numbers as
in the reference implementation, see J. Senk et al. (2026), doi:10.1088/2634-4386/ae379a.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

import simcore as sc
from simcore.numerics.portable import exp, log, total
from simcore.services.errors import require

POPULATIONS = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
SIZES = np.array([20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948])

# Probability of at least one synapse between a pair: row target, column source
PROBABILITIES = np.array(
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

# Membrane [mV, pF, ms] and synapses [ms]
E_L, V_TH, V_RESET, C_M, TAU_M, TAU_SYN, T_REF = -65.0, -50.0, -65.0, 250.0, 10.0, 0.5, 2.0

# Amplitude of an excitatory postsynaptic potential [mV], relative strength of inhibition
PSP, G = 0.15, 4.0
WEIGHT_SPREAD, DELAY_SPREAD = 0.1, 0.5
DELAY_E, DELAY_I = 1.5, 0.75

# External inputs per neuron, each at this rate [1/s]
K_EXT = np.array([1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100])
RATE_EXT = 8.0

# Initial potentials that shorten the transient [mV]
V_MEAN = np.array([-68.28, -63.16, -63.33, -63.45, -63.11, -61.66, -66.72, -61.43])
V_SD = np.array([5.36, 4.57, 4.74, 4.94, 4.94, 4.55, 5.46, 4.48])

# Mean rates of the full-scale model [1/s], which down-scaling makes up for
RATES = np.array([0.903, 2.965, 4.414, 5.876, 7.569, 8.633, 1.105, 7.829])

# The same with the direct current, measured with GeNN 5.4 over one second
RATES_DC = np.array([0.951, 3.011, 4.234, 5.732, 8.097, 8.487, 1.077, 7.673])

# Thalamic neurons, their connection probabilities, and the rate of the stimulus [1/s]
THALAMUS_SIZE, THALAMUS_RATE = 902, 120.0
THALAMUS_PROBABILITIES = np.array([0.0, 0.0, 0.0983, 0.0619, 0.0, 0.0, 0.0512, 0.0196])


def build(
    N_scaling: float = 1.0,
    K_scaling: float = 1.0,
    drive: str = "poisson",
    thalamus: bool = False,
    thalamus_start: float = 700.0,
    thalamus_duration: float = 10.0,
    record_V_m: int = 0,
    seed: int = 55,
) -> sc.Network:
    """Describe the cortical microcircuit.

    Parameters
    ----------
    N_scaling : float
        Share of the neurons, in (0, 1].
    K_scaling : float
        Share of the synapses per neuron, in (0, 1]. Weights and a direct current make up for the
        synapses that are left out.
    drive : {"poisson", "dc"}
        Input from other areas: Poisson spikes, or the direct current of the same mean.
    thalamus : bool
        Whether thalamic neurons fire for a while.
    thalamus_start, thalamus_duration : float
        When, and for how long [ms].
    record_V_m : int
        Number of neurons per population whose potential is recorded each millisecond.
    seed : int
        Seed of all random numbers.

    Returns
    -------
    Network
    """
    for name, value in (("N_scaling", N_scaling), ("K_scaling", K_scaling)):
        require(0.0 < value <= 1.0, f"microcircuit: {name}", value, "in (0, 1]")
    require(drive in ("poisson", "dc"), "microcircuit: drive", drive, "'poisson' or 'dc'")

    net = sc.Network(seed=seed)
    sizes = np.maximum(1, np.rint(SIZES * N_scaling)).astype(int)
    totals = synapse_numbers(N_scaling, K_scaling)
    weights = mean_weights() / math.sqrt(K_scaling)
    external = psc(PSP) / math.sqrt(K_scaling)
    currents = compensation(K_scaling, drive)

    populations = []
    for i, name in enumerate(POPULATIONS):
        neuron = sc.LIF(
            tau_m=TAU_M, V_th=V_TH, t_ref=T_REF, E_L=E_L, V_reset=V_RESET, C_m=C_M,
            I_e=float(currents[i]), tau_syn=TAU_SYN,
        )  # fmt: skip
        initial = sc.Normal(float(V_MEAN[i]), float(V_SD[i]))
        populations.append(net.population(name, int(sizes[i]), neuron, V_m=initial))

    for target, row in zip(populations, range(8), strict=True):
        for source, column in zip(populations, range(8), strict=True):
            if totals[row, column] > 0:
                delay = DELAY_E if column % 2 == 0 else DELAY_I
                rule = sc.FixedTotalNumber(int(totals[row, column]))
                weight = _weight(float(weights[row, column]))
                net.connect(source, target, rule, weight=weight, delay=_delay(delay))

    if drive == "poisson":
        for i, population in enumerate(populations):
            rate = RATE_EXT * float(K_EXT[i]) * K_scaling
            net.drive(population, sc.Poisson(rate=rate, weight=external))
    if thalamus:
        generator = sc.PoissonSource(
            THALAMUS_RATE, thalamus_start, thalamus_start + thalamus_duration
        )
        size = max(1, round(THALAMUS_SIZE * N_scaling))
        relay = net.population("TC", size, generator)
        n = total_number(THALAMUS_PROBABILITIES, THALAMUS_SIZE, SIZES) * N_scaling * K_scaling
        for target, count in zip(populations, np.rint(n).astype(int), strict=True):
            if count > 0:
                rule = sc.FixedTotalNumber(int(count))
                net.connect(relay, target, rule, weight=_weight(external), delay=_delay(DELAY_E))

    for population in net.populations:
        net.record(population, "spikes")
    if record_V_m > 0:
        for population in populations:
            net.record(population[: int(record_V_m)], "V_m", interval=1.0)
    return net


def reference_rates(**parameters: Any) -> dict[str, float] | None:
    """Return the mean rates of the full-scale model [1/s] by population.

    Parameters
    ----------
    **parameters
        Those of `build`, all of them.

    Returns
    -------
    dict of str to float or None
        None for a scaled model, which fires less.
    """
    if parameters["N_scaling"] != 1.0 or parameters["K_scaling"] != 1.0 or parameters["thalamus"]:
        return None
    rates = RATES_DC if parameters["drive"] == "dc" else RATES
    return dict(zip(POPULATIONS, rates.tolist(), strict=True))


def synapse_numbers(N_scaling: float = 1.0, K_scaling: float = 1.0) -> NDArray[np.int64]:
    """Return the synapses of each projection, shape (8, 8), row target, column source."""
    full = total_number(PROBABILITIES, SIZES[None, :], SIZES[:, None])
    return np.rint(full * N_scaling * K_scaling).astype(np.int64)


def total_number(
    probability: NDArray[np.float64],
    n_sources: NDArray[np.int64] | int,
    n_targets: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return how many random pairs leave a pair unconnected with 1 - `probability`.

    Equation 1 of Potjans and Diesmann (2014), solved for the number of synapses.
    """
    pairs = np.asarray(n_sources * n_targets, dtype=np.float64)
    return np.asarray(log(1.0 - probability) / log((pairs - 1.0) / pairs))


def psc(psp: float) -> float:
    """Return the current [pA] whose postsynaptic potential peaks at `psp` [mV]."""
    s = 1.0 / (TAU_SYN - TAU_M)
    f = s * log(TAU_M / TAU_SYN)
    peak = TAU_M * TAU_SYN / C_M * s * (exp(f * TAU_M) - exp(f * TAU_SYN))
    return float(psp / peak)


def mean_weights() -> NDArray[np.float64]:
    """Return the mean weight [pA] of each projection, shape (8, 8), row target, column source."""
    weights = np.full((8, 8), psc(PSP))
    weights[:, 1::2] *= -G
    weights[0, 2] *= 2.0
    return weights


def compensation(K_scaling: float, drive: str) -> NDArray[np.float64]:
    """Return the direct current [pA] into each population, shape (8,).

    It stands for the external input where that is `dc`, and makes up for the mean input of the
    synapses that down-scaling leaves out (van Albada, Helias and Diesmann, 2015).
    """
    charge = 1e-3 * TAU_SYN
    external = charge * psc(PSP) * RATE_EXT * K_EXT
    if drive == "dc" and K_scaling == 1.0:
        return external
    indegrees = synapse_numbers() / SIZES[:, None]
    recurrent = total(charge * mean_weights() * indegrees * RATES)
    lost = 1.0 - math.sqrt(K_scaling)
    return lost * recurrent + (external if drive == "dc" else lost * external)


def _weight(mean: float) -> sc.Distribution:
    sd = WEIGHT_SPREAD * abs(mean)
    return sc.Normal(mean, sd, low=0.0) if mean > 0.0 else sc.Normal(mean, sd, high=0.0)


def _delay(mean: float) -> sc.Distribution:
    return sc.Normal(mean, DELAY_SPREAD * mean, low=0.05)
