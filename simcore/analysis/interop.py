"""Runs as the objects of other libraries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.io.excerpt import Excerpt, ReportExcerpt, count_per_neuron, times_by_neuron
from simcore.services.extras import load

if TYPE_CHECKING:
    import neo

    from simcore.io.recording import Recording
    from simcore.io.selection import Selection


def to_neo(
    run: Recording,
    populations: str | Sequence[str] | None = None,
    start: float | None = None,
    stop: float | None = None,
    neurons: ArrayLike | None = None,
) -> neo.Block:
    """Return spikes and samples as objects of Neo, which Elephant computes with.

    All of them are in memory at once; choose a window or neurons of a large run.

    Parameters
    ----------
    run : Recording
        The run.
    populations : str or sequence of str, optional
        Names; all that were recorded if left out.
    start, stop : float, optional
        A window, after `start` up to and with `stop` [ms]; all there is if left out.
    neurons : array_like of int, optional
        Node ids in each of the populations; all that were recorded if left out.

    Returns
    -------
    neo.Block
        With one segment. Its `spiketrains` has a train for each neuron, also for a silent one,
        in the order of populations and node ids, with the annotations `population` and `node_id`;
        its `analogsignals` one signal for each column that was recorded, with the annotations
        `population` and `variable` and the array annotation `node_id`. Times in ms, samples in
        the unit of the column; in none, with the annotation `unit`, where Neo does not know it.

    Raises
    ------
    ConfigError
        When Neo is missing, or nothing recorded lies in the window.
    ModelError
        When nothing was recorded of a population, or there is no such neuron.
    """
    neo = load("neo", "interop", "to_neo")
    excerpt = Excerpt.of(run, populations, start, stop)
    segment = neo.Segment(name=f"{excerpt.window[0]:.10g} to {excerpt.window[1]:.10g} ms")
    trains = []
    for selection in excerpt.spikes:
        if neurons is not None:
            selection = run.select(selection.population, *excerpt.window, neurons=neurons)
        trains += _spike_trains(selection)
    # Once: Neo looks for each new train among all that a segment has
    segment.spiketrains.extend(trains)
    segment.analogsignals.extend([_signal(samples, neurons) for samples in excerpt.samples()])
    block = neo.Block(name=run.path)
    block.segments.append(segment)
    return block


def _spike_trains(selection: Selection) -> list[neo.SpikeTrain]:
    """Return a train for each neuron of a selection."""
    import neo

    if not selection.n_neurons:
        return []
    begin, end = selection.window
    ends = np.cumsum(count_per_neuron(selection))
    times = np.concatenate([np.zeros(0), *times_by_neuron(selection)])
    return [
        neo.SpikeTrain(
            some, units="ms", t_start=begin, t_stop=end,
            population=selection.population, node_id=int(node_id),
        )
        for some, node_id in zip(np.split(times, ends[:-1]), selection.neurons, strict=True)
    ]  # fmt: skip


def _signal(samples: ReportExcerpt, neurons: ArrayLike | None) -> neo.AnalogSignal:
    """Return the samples of a report, of chosen neurons as far as they were recorded."""
    import neo
    import quantities

    report = samples.report
    values: NDArray[np.floating] = samples.values.compute(scheduler="synchronous")
    chosen = np.ones(samples.node_ids.size, dtype=bool)
    if neurons is not None:
        chosen = np.isin(samples.node_ids, np.asarray(neurons))
    try:
        unit = quantities.Quantity(1.0, report.unit).units
    except (LookupError, SyntaxError, ValueError):
        unit = quantities.dimensionless
    return neo.AnalogSignal(
        values[:, chosen], units=unit, name=f"{report.variable} of {report.population}",
        t_start=samples.start * quantities.ms, sampling_period=report.interval * quantities.ms,
        array_annotations={"node_id": samples.node_ids[chosen].astype(np.int64)},
        population=report.population, variable=report.variable, unit=report.unit,
    )  # fmt: skip
