"""What the peers have in common that count spikes themselves: options, rates and the report."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from microcircuit_nest import POPULATIONS, IntArray, Network, scale_network, write_result


def common_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that all peers have, named as in ``microcircuit_nest.py``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--n-scaling", type=float, default=1.0, help="fraction of the neurons")
    parser.add_argument("--k-scaling", type=float, default=1.0, help="fraction of the in-degrees")
    parser.add_argument("--drive", choices=("dc", "poisson"), default="poisson")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--presim", type=float, default=100.0, metavar="MS")
    parser.add_argument("--duration", type=float, default=1000.0, metavar="MS")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    return parser


def network_of(options: argparse.Namespace) -> Network:
    """Return sizes and weights of the network that the options ask for."""
    return scale_network(options.n_scaling, options.k_scaling, options.drive)


def report(
    options: argparse.Namespace,
    versions: dict[str, str],
    network: Network,
    counts: IntArray,
    times: dict[str, float],
    peak_rss_gb: float,
) -> None:
    """Write the result, with the keys of ``microcircuit_nest.py``.

    Parameters
    ----------
    options : Namespace
        The command line.
    versions : dict of str
        Name and version of the simulator.
    network : Network
        What was simulated.
    counts : ndarray of int, shape (neurons,)
        Spikes of every neuron in the measured phase, population after population.
    times : dict of float
        Wall times [s], "simulate" among them.
    peak_rss_gb : float
        Largest resident memory [GB].
    """
    seconds = options.duration / 1000.0
    stops = np.cumsum(network.num_neurons)
    means = [part.mean() / seconds for part in np.split(counts, stops[:-1])]
    result: dict[str, Any] = {
        "options": {key: value for key, value in vars(options).items() if key != "json"},
        **versions,
        "neurons": int(network.num_neurons.sum()),
        "synapses": int(network.num_synapses.sum()),
        "times_s": times,
        "rtf": times["simulate"] / seconds,
        "spikes": int(counts.sum()),
        "mean_rate": float(counts.mean() / seconds),
        "peak_rss_gb": peak_rss_gb,
        "rates": {name: float(mean) for name, mean in zip(POPULATIONS, means, strict=True)},
    }
    write_result(options.json, result, {})
