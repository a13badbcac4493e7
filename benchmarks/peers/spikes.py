"""One analysis of a file of spikes by one program; prints how many spikes it had as JSON.

    python benchmarks/peers/spikes.py simcore everything run.h5

Tasks: "everything" is all statistics of `simcore.analysis.summarize`; "window" the same for one
second in the middle; "elephant's part" what Elephant has too: rates, intervals, CV, LV, Fano
factors, population rates and their spectra, correlations of 250 neurons of each population;
"bmtk's part" the counts and mean intervals of `bmtk.analyzer.spike_trains.spike_statistics`, of
one population, for bmtk takes several in turns and reads all each time.
"""

import json
import sys
import warnings

import numpy as np

ONE = "L4E"


def simcore(task: str, path: str) -> int:
    """Do a task with simcore."""
    import simcore as sc
    from simcore import analysis
    from simcore.analysis.intervals import IntervalReduction
    from simcore.analysis.rates import RateReduction
    from simcore.analysis.reduction import reduce_spikes

    run = sc.open_run(path)
    if task == "bmtk's part":
        selection = run.select(ONE)
        _, rates = reduce_spikes(
            selection, IntervalReduction.of(selection), RateReduction.of(selection)
        )
        return round(rates.sum() * selection.seconds)
    start = 500.0 * round(run.end / 1000.0) if task == "window" else None
    stop = None if start is None else start + 1000.0
    return sum(s.n_spikes for s in analysis.summarize(run, start=start, stop=stop).values())


def elephant(task: str, path: str) -> int:
    """Do what Elephant can do with it, population by population."""
    import h5py
    import neo
    import quantities as pq
    from elephant.conversion import BinnedSpikeTrain
    from elephant.spectral import welch_psd
    from elephant.spike_train_correlation import correlation_coefficient
    from elephant.statistics import cv, isi, lv, mean_firing_rate, time_histogram

    warnings.simplefilter("ignore")
    total = 0
    with h5py.File(path) as file:
        stop = file["simcore"].attrs["duration"] * pq.ms
        for name, group in file["spikes"].items():
            times, ids = group["timestamps"][()], group["node_ids"][()].astype(np.int64)
            total += times.size
            order = np.argsort(ids, kind="stable")
            size = int(file["simcore/populations/size"][_index(file, name)])
            borders = np.searchsorted(ids[order], np.arange(1, size))
            trains = [
                neo.SpikeTrain(t, units="ms", t_stop=stop)
                for t in np.split(times[order] - 0.05, borders)
            ]
            for train in trains:
                mean_firing_rate(train)
            intervals = [isi(train).magnitude for train in trains if len(train) > 2]
            for some in intervals:
                cv(some), lv(some)
            counts = BinnedSpikeTrain(trains, 100.0 * pq.ms).sparse_matrix
            means = np.asarray(counts.mean(axis=1)).ravel()
            squares = np.asarray(counts.multiply(counts).mean(axis=1)).ravel()
            with np.errstate(invalid="ignore"):
                (squares - means**2) / means
            welch_psd(time_histogram(trains, 1.0 * pq.ms, output="rate"), len_segment=1024)
            correlation_coefficient(BinnedSpikeTrain(trains[:250], 2.0 * pq.ms))
    return total


def _index(file, name: str) -> int:
    return file["simcore/populations/name"].asstr()[()].tolist().index(name)


def bmtk(task: str, path: str) -> int:
    """Do what bmtk can do with it."""
    from bmtk.analyzer.spike_trains import spike_statistics

    return int(spike_statistics(path, population=ONE)["count"].sum())


if __name__ == "__main__":
    program, task, path = sys.argv[1:]
    found = {"simcore": simcore, "elephant": elephant, "bmtk": bmtk}[program](task, path)
    print(json.dumps({"spikes": int(found)}))
