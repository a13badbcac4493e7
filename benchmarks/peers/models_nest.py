"""How long NEST takes for a step of one neuron of each model; no input, so these are lower bounds.

    python models_nest.py --models iaf_psc_exp aeif_cond_exp --json models.json

Needs ``nest-simulator`` and NumPy only. Models that NEST lacks are left out.
"""

import argparse
from pathlib import Path
from time import perf_counter

from microcircuit_nest import start_nest, write_result

N_NEURONS, DURATION, RESOLUTION, REPEATS = 1000, 100.0, 0.1, 3


def main() -> None:
    """Measure each model and write nanoseconds by name."""
    parser = argparse.ArgumentParser(description="a step of a neuron in NEST")
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    found = {}
    for name in options.models:
        nest = start_nest(1, 1, RESOLUTION)
        if name not in nest.node_models:
            continue
        nest.Create(name, N_NEURONS)
        nest.Simulate(1.0)
        times = []
        for _ in range(REPEATS):
            begin = perf_counter()
            nest.Simulate(DURATION)
            times.append(perf_counter() - begin)
        found[name] = 1e9 * min(times) / (N_NEURONS * DURATION / RESOLUTION)
    write_result(options.json, found, {})


if __name__ == "__main__":
    main()
