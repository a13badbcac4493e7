"""Spikes and samples as a file of Neurodata Without Borders (NWB), written by pynwb."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from simcore.io.about import About
from simcore.io.atomic_file import atomic_file
from simcore.io.excerpt import Excerpt, ReportExcerpt, count_per_neuron, times_by_neuron
from simcore.services.extras import load
from simcore.services.progress import TaskProgress

if TYPE_CHECKING:
    from pynwb import NWBFile

# Numbers in a chunk of a dataset that is written piece by piece
_CHUNK = 2**17

# What stands for characters that names in NWB must not have
_NAME = str.maketrans(":/\\", "___")

# Units of NWB for those of columns, and what one of theirs is in these; others stay as they are
_UNITS = {
    "mV": ("volts", 1e-3), "V": ("volts", 1.0), "pA": ("amperes", 1e-12), "nA": ("amperes", 1e-9),
    "nS": ("siemens", 1e-9), "uS": ("siemens", 1e-6), "ms": ("seconds", 1e-3),
}  # fmt: skip

# Space for a row of a table, and for what is in every file [B]
_ROW_BYTES, _FILE_BYTES = 128, 2**21


def write_nwb(excerpt: Excerpt, path: str, work: TaskProgress, about: About) -> None:
    """Write the spikes of each neuron as a row of the table of units, and samples.

    Times are in seconds, as NWB has them. Spikes and samples are read while they are written.
    """
    pynwb = load("pynwb", "interop", "export to NWB")
    file = _new_file(excerpt, about)
    file.add_acquisition(_populations(excerpt))
    if excerpt.spikes:
        file.units = _units(excerpt, work)
    sampled = excerpt.samples()
    for samples in sampled:
        _add_samples(file, samples)
    n_neurons = sum(s.n_neurons for s in excerpt.spikes) + sum(s.node_ids.size for s in sampled)
    n_bytes = 8 * work.total + sum(s.values.nbytes for s in sampled) + _ROW_BYTES * n_neurons
    with atomic_file(path, n_bytes + _FILE_BYTES) as output:
        pynwb.NWBHDF5IO(file=output, mode="w").write(file)


def _new_file(excerpt: Excerpt, about: About) -> NWBFile:
    from pynwb import NWBFile
    from pynwb.file import Subject

    from simcore import __version__

    run = excerpt.run
    created = str(getattr(run, "created", ""))
    changed = datetime.fromtimestamp(os.path.getmtime(run.path), UTC)
    begin, end = excerpt.window
    fields = {
        "session_description": f"Simulated spiking neurons, {begin:.10g} to {end:.10g} ms",
        "session_start_time": datetime.fromisoformat(created) if created else changed,
        "experiment_description": "Simulation of a network of spiking neurons",
        "keywords": ["simulation", "spiking neural network"],
        **about.fields,
    }
    return NWBFile(
        identifier=str(getattr(run, "uuid", "") or uuid4()),
        source_script=f"simcore {__version__}",
        source_script_file_name=os.path.basename(run.path),
        subject=Subject(**about.subject) if about.subject else None,
        **fields,
    )


def _populations(excerpt: Excerpt) -> Any:
    """Return a table of the populations, which tells how many neurons they have."""
    from hdmf.common import DynamicTable, VectorData

    of_spikes = [selection.population for selection in excerpt.spikes]
    names = list(dict.fromkeys([*of_spikes, *(report.population for report in excerpt.reports)]))
    sizes = np.array([excerpt.run.sizes[name] for name in names], dtype=np.int64)
    return DynamicTable(
        name="populations",
        description="the populations of which something was recorded",
        columns=[
            VectorData(name="population", description="name of the population", data=names),
            VectorData(name="size", description="number of neurons, recorded or not", data=sizes),
        ],
    )


def _units(excerpt: Excerpt, work: TaskProgress) -> Any:
    """Return the table of units, whose spikes are read when it is written."""
    from hdmf.common import VectorData, VectorIndex
    from pynwb.misc import Units

    counts = np.concatenate([count_per_neuron(selection) for selection in excerpt.spikes])
    names = [s.population for s in excerpt.spikes for _ in range(s.n_neurons)]
    node_ids = np.concatenate([np.asarray(s.neurons, dtype=np.int64) for s in excerpt.spikes])
    spikes = VectorData(
        name="spike_times",
        description="when the neuron fired [s]",
        data=_pieces(_spike_times(excerpt, work), (int(counts.sum()),), np.dtype(np.float64)),
    )
    window = VectorData(
        name="obs_intervals",
        description="the time that was recorded [s]",
        data=np.tile(np.array(excerpt.window) / 1000.0, (counts.size, 1)),
    )
    return Units(
        name="units",
        description="one row for each recorded neuron, also for those that were silent",
        id=np.arange(counts.size),
        resolution=None if excerpt.dt is None else excerpt.dt / 1000.0,
        columns=[
            VectorIndex(
                name="spike_times_index", data=np.cumsum(counts, dtype=np.uint64), target=spikes
            ),
            spikes,
            VectorIndex(
                name="obs_intervals_index",
                data=np.arange(1, counts.size + 1, dtype=np.uint64),
                target=window,
            ),
            window,
            VectorData(name="population", description="name of the population", data=names),
            VectorData(name="node_id", description="index within the population", data=node_ids),
        ],
    )


def _spike_times(
    excerpt: Excerpt, work: TaskProgress
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield places in the column of spike times, and the times [s]."""
    begin = 0
    for selection in excerpt.spikes:
        for times in times_by_neuron(selection):
            yield slice(begin, begin + times.size), times / 1000.0
            begin += times.size
            work.advance(times.size)


def _add_samples(file: NWBFile, samples: ReportExcerpt) -> None:
    """Add the samples of a report, and a table of its neurons."""
    from hdmf.common import DynamicTable, VectorData
    from pynwb import TimeSeries

    # NWB allows neither colons nor slashes in a name, and no name twice
    report, shape = samples.report, samples.values.shape
    name = f"{report.variable}_{report.population}".translate(_NAME)
    while name in file.acquisition:
        name += "_"
    column = VectorData(
        name="node_id",
        description="index within the population, in the order of the columns of the samples",
        data=samples.node_ids.astype(np.int64),
    )
    file.add_acquisition(
        DynamicTable(
            name=f"{name}_neurons",
            description=f"neurons of population {report.population} of which {report.variable} "
            "was recorded",
            columns=[column],
        )
    )
    unit, conversion = _UNITS.get(report.unit, (report.unit, 1.0))
    file.add_acquisition(
        TimeSeries(
            name=name,
            description=f"{report.variable} of population {report.population}: a column for each "
            f"row of {name}_neurons",
            data=_pieces(samples.blocks(), shape, samples.values.dtype),
            unit=unit,
            conversion=conversion,
            starting_time=samples.start / 1000.0,
            rate=1000.0 / report.interval,
        )
    )


def _pieces(
    found: Iterator[tuple[slice, NDArray[Any]]], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Any:
    """Return data for pynwb that is read while it is written.

    Parameters
    ----------
    found : iterator of (slice, ndarray)
        Neighbouring rows and their numbers.
    shape : tuple of int
        Shape of all rows.
    dtype : dtype
        Type of the numbers.
    """
    from hdmf.data_utils import AbstractDataChunkIterator, DataChunk

    # HDF5 has no chunks of nothing
    if not all(shape):
        return np.zeros(shape, dtype=dtype)

    class Pieces(AbstractDataChunkIterator):
        """Hands on one piece after the other."""

        dtype = property(lambda self: dtype)
        maxshape = property(lambda self: shape)

        def __len__(self) -> int:
            return shape[0]

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            rows, values = next(found)
            return DataChunk(values, (rows, *(slice(0, n) for n in shape[1:])))

        def recommended_chunk_shape(self) -> tuple[int, ...]:
            width = int(np.prod(shape[1:], dtype=np.int64))
            return min(shape[0], max(1, _CHUNK // width)), *shape[1:]

        def recommended_data_shape(self) -> tuple[int, ...]:
            return shape

    return Pieces()
