"""SONATA spike files that other programs wrote, and those that were exported."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from simcore.io import schema
from simcore.io.access import Joined, Piece, open_file
from simcore.io.recording import Recording
from simcore.io.reports import REPORT, read_report
from simcore.io.selection import Neurons
from simcore.io.sonata_spikes import ENDLESS, ForeignSpikes, mark, sorted_by_time
from simcore.numerics.clock import GRAIN
from simcore.services.errors import ConfigError, OutputError, require

if TYPE_CHECKING:
    import h5py

# Time step where none is known [ms]: finer than any grid, and exact for times up to 10^9 ms
RESOLUTION = 1e-6

# What to do where the recording is longer than what is wanted
_CHOOSE = "Choose a window to leave out spikes"


class SonataFile(Recording):
    """A spike file in the SONATA convention.

    SONATA tells neither the time step, nor the recorded window, nor how many neurons there are and
    which of them are silent. An exported file has all this as attributes, see docs/file-format.md.
    Of others it must be told, or is guessed: the window begins at 0 and ends with the last spike,
    and the neurons are those up to the largest id that fired, or only those that fired where ids
    are far apart. `guesses` tells what was guessed. Spikes that are not sorted by time are sorted
    into a temporary folder, which is removed when nobody reads it any more.

    Parameters
    ----------
    path : str or path
        The file.
    sizes : mapping of str to int, optional
        Number of neurons of each population.
    begin, end : float, optional
        What was recorded: spikes after `begin`, up to and with `end` [ms].

    Raises
    ------
    OutputError
        When the file is missing, damaged, or has no spikes in the SONATA convention, or there is
        no room for sorting them.
    ModelError
        When `sizes` names another population or is too small.
    ConfigError
        When a spike is not after `begin`, or after `end`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sizes: Mapping[str, int] | None = None,
        begin: float | None = None,
        end: float | None = None,
    ) -> None:
        import h5py

        super().__init__(path)
        self._places: dict[str, Joined] = {}
        self._ids: dict[str, Neurons] = {}
        self.sizes = {}
        with open_file(self.path) as file:
            spikes = file[schema.SPIKES]
            if not isinstance(spikes, h5py.Group):
                raise OutputError(f"{self.path!r}: '/spikes' is no group, as SONATA has it")
            attributes = dict(spikes.attrs)
            found = {name: ForeignSpikes.of(self.path, spikes[name]) for name in spikes}
            for name, population in sorted_by_time(self.path, found).items():
                self._add(name, population)
            self._add_reports(file, found)
        self.recorded, self.populations = list(found), list(self.sizes)
        self.dt = float(attributes.get("dt", RESOLUTION))
        first = min((s.first for s in found.values() if s.size), default=math.inf)
        last = max((s.last for s in found.values() if s.size), default=-math.inf)
        self.record_from, self.end = self._window_of(attributes, begin, end, (first, last))
        for name, size in (sizes or {}).items():
            told = name in found and found[name].told
            self._resize(name, size, told)
        unsure = {str(name) for name in attributes.get(schema.GUESSED, ())}
        times = {"begin": begin, "end": end}
        self.guessed = [
            name for name, time in times.items()
            if time is None and (name not in attributes or name in unsure)
        ]  # fmt: skip
        self.unsized = [n for n, s in found.items() if not s.told and n not in (sizes or {})]
        self.guessed += ["sizes"] if self.unsized else []
        self._far_apart = [name for name in self.unsized if found[name].far_apart]

    @property
    def _data(self) -> Mapping[str, Joined]:
        return self._places

    def recorded_ids(self, population: str) -> Neurons:
        """Return the node ids of a population whose spikes are in the file."""
        self._spikes(population)
        return self._ids[population]

    @property
    def n_neurons(self) -> int:
        """Neurons in all; those that fired where ids are far apart."""
        apart = {name: len(self._ids[name]) for name in self._far_apart}
        return sum({**self.sizes, **apart}.values())

    @property
    def guesses(self) -> str:
        """What the file does not tell and nobody told, and what it was taken for; else empty."""
        apart = ", ".join(self._far_apart)
        neurons = (
            f", but only those that fired of {apart}, whose ids are far apart" if apart else ""
        )
        texts = {
            "begin": f"the recording begins at {self.record_from:.10g} ms",
            "end": f"it ends with the last spike, at {self.end:.10g} ms",
            "sizes": f"neurons are those up to the largest id that fired{neurons}",
        }
        if not self.guessed:
            return ""
        return (
            f"Guessed, because the file does not tell: {'; '.join(texts[n] for n in self.guessed)}."
            " Where that is not so, rates are wrong: tell "
            f"{', '.join(self.guessed)} (--{', --'.join(self.guessed)})."
        )

    def __repr__(self) -> str:
        return (
            f"SonataFile({self.path!r}: {self.n_neurons} neurons in {len(self.populations)} "
            f"populations, {self.record_from:.10g} to {self.end:.10g} ms)"
        )

    def _add(self, name: str, spikes: ForeignSpikes) -> None:
        """Add a population."""
        self._ids[name], self.sizes[name] = spikes.recorded, spikes.neurons
        for field in ("timestamps", "node_ids"):
            where = f"{schema.SPIKES}/{name}/{field}"
            self._places[where] = spikes.joined(where)

    def _add_reports(self, file: h5py.File, found: Mapping[str, ForeignSpikes]) -> None:
        """Add samples of neurons that are one element each."""
        for name, group in file.get(REPORT, {}).items():
            if not all(name in group for name in ("data", "mapping/node_ids", "mapping/time")):
                continue
            data = group["data"]
            if data.ndim == 2 and data.shape[1] == len(group["mapping/node_ids"]):
                where = f"{REPORT}/{name}/data"
                piece = Piece(self.path, where, 0, len(data), 0, ENDLESS)
                self._places[where] = Joined([piece], data.shape[1:], data.dtype, mark(self.path))
                population = read_report(name, group).population
                if population not in found:
                    ids = group["mapping/node_ids"][()].astype(np.int64)
                    size = int(group.attrs.get("size", ids.max(initial=-1) + 1))
                    self.sizes[population] = max(size, self.sizes.get(population, 0))

    def _window_of(
        self,
        attributes: Mapping[str, Any],
        begin: float | None,
        end: float | None,
        spikes: tuple[float, float],
    ) -> tuple[float, float]:
        """Return the window that was recorded, given the first and the last spike [ms]."""
        for name, time in (("begin", begin), ("end", end)):
            finite = time is None or math.isfinite(time)
            require(finite, f"{self.path!r}: {name}", time, "finite [ms]", error=ConfigError)
        (first, last), near = spikes, GRAIN * self.dt
        known = attributes.get("begin", 0.0 if first > 0.0 else first)
        low = float(known if begin is None else begin)
        if begin is not None or "begin" not in attributes:
            valid = f"<= {first:.10g} ms, the first spike. {_CHOOSE}"
            require(low <= first + near, f"{self.path!r}: begin", low, valid, error=ConfigError)
            # A window does not hold its begin
            low -= self.dt if low >= first - near else 0.0
        known = attributes.get("end", max(last, low + self.dt))
        high = float(known if end is None else end)
        if end is not None:
            subject = f"{self.path!r}: end"
            require(high > low, subject, end, f"> begin, {low:.10g} ms", error=ConfigError)
            valid = f">= {last:.10g} ms, the last spike. {_CHOOSE}"
            require(high >= last - near, subject, end, valid, error=ConfigError)
        return low, high

    def _resize(self, name: str, size: int, told: bool) -> None:
        """Take the number of neurons of a population from the user.

        All of them are recorded, unless the file tells which ones are.
        """
        known = f"one of {self.recorded}"
        require(name in self._ids, f"{self.path!r}: sizes: population", name, known)
        ids = self._ids[name]
        largest = int(ids[-1]) if len(ids) else -1
        subject = f"{self.path!r}: sizes: {name!r}"
        whole = isinstance(size, (int, np.integer)) and not isinstance(size, bool)
        require(whole, subject, size, "a whole number")
        require(size > largest, subject, size, f"> {largest}, the largest id in the file")
        self._ids[name], self.sizes[name] = ids if told else range(size), size
