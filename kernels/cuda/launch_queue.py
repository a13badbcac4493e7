"""Launches that follow one another on the device, and what they report.

While one launch runs, the spikes of the one before come back: two take turns with two buffers on
the device. A report is copied in a stream of its own into pinned memory, as soon as its launch
has ended, with as many spikes as there usually are; those beyond them are fetched when their
number is known.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcore.kernels.cuda.device import Buffer, Device, Kernel
from simcore.kernels.cuda.structs import REPORT_FIELDS

# Launches under way at a time
DEPTH = 2

# Spikes that are fetched with a report, at least
_FEWEST = 64

_HEAD = len(REPORT_FIELDS)


@dataclass(frozen=True)
class LaunchReport:
    """What a launch reports.

    Parameters
    ----------
    origin, step : int
        Step of its spikes with offset 0, and where it ended.
    words : ndarray of int64
        The spikes, in no order.
    seconds : dict of str to float
        Time on the device for "update", "deliver" and "copy" [s].
    """

    origin: int
    step: int
    words: NDArray[np.int64]
    seconds: dict[str, float]


@dataclass
class _Slot:
    """What one of the launches under way has for itself.

    Parameters
    ----------
    buffer : Buffer
        Its report on the device.
    begun, ended, copying, copied : cupy.cuda.Event
        When it, and the copy of its report, began and ended.
    host : ndarray of int64
        The report, pinned.
    n_fetched : int
        Words that are on the way to the host, or there.
    origin : int
        Step of its spikes with offset 0.
    """

    buffer: Buffer
    begun: Any
    ended: Any
    copying: Any
    copied: Any
    host: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    n_fetched: int = 0
    origin: int = 0


class LaunchQueue:
    """The launches of one shard.

    Parameters
    ----------
    device : Device
        Where.
    kernel : Kernel
        What is launched.
    n_words : int
        Spikes that a launch has room for.
    """

    def __init__(self, device: Device, kernel: Kernel, n_words: int) -> None:
        self._device, self._kernel, self._n_words = device, kernel, n_words
        self._free = deque(self._slot() for _ in range(DEPTH))
        self._under_way: deque[_Slot] = deque()
        self._usual = min(_FEWEST, n_words)

    @staticmethod
    def n_bytes(n_words: int) -> int:
        """Return what the reports take on the device [B]."""
        return DEPTH * 8 * (_HEAD + n_words)

    @property
    def under_way(self) -> int:
        """Number of launches whose reports were not taken yet."""
        return len(self._under_way)

    def start(
        self, shard: NDArray[np.int64], origin: int, end: int, remote: tuple[int, int, int]
    ) -> None:
        """Queue a launch, which goes on where the last one ended; at most `DEPTH` are under way.

        Parameters
        ----------
        shard : ndarray of int64
            The struct `DeviceShard`.
        origin : int
            Step of its spikes with offset 0.
        end : int
            Step at which it ends at the latest.
        remote : tuple of int
            Origin, address and number of spikes from elsewhere.
        """
        device, slot = self._device, self._free.popleft()
        slot.origin = origin
        device.stream.record(slot.begun)
        device.launch(self._kernel, (shard,), slot.buffer.address, origin, end, *remote)
        device.stream.record(slot.ended)
        device.copies.wait_event(slot.ended)
        self._fetch(slot, 0, _HEAD + self._usual)
        self._under_way.append(slot)

    def take(self) -> LaunchReport:
        """Return the report of the oldest launch under way, when it has ended."""
        device, slot = self._device, self._under_way.popleft()
        slot.copied.synchronize()
        found = dict(zip(REPORT_FIELDS, slot.host[:_HEAD].tolist(), strict=True))
        n_spikes = found["n_spikes"]
        copy = device.seconds(slot.copying, slot.copied)
        if _HEAD + n_spikes > slot.n_fetched:
            self._fetch(slot, slot.n_fetched, _HEAD + n_spikes)
            slot.copied.synchronize()
            copy += device.seconds(slot.copying, slot.copied)
        self._usual = min(max(_FEWEST, n_spikes + n_spikes // 4), self._n_words)
        words = slot.host[_HEAD : _HEAD + n_spikes].copy()
        self._free.append(slot)

        # The cycles of one thread divide the time of the launch
        launch = device.seconds(slot.begun, slot.ended)
        update = found["update_cycles"] / max(1, found["update_cycles"] + found["deliver_cycles"])
        parts = {"update": launch * update, "deliver": launch * (1.0 - update), "copy": copy}
        return LaunchReport(slot.origin, found["step"], words, parts)

    def _fetch(self, slot: _Slot, first: int, end: int) -> None:
        """Queue a copy of the words from `first` to `end` of a report."""
        if slot.host.size < end:
            kept = slot.host[:first]
            slot.host = self._device.pinned(min(2 * end, _HEAD + self._n_words), np.int64)
            slot.host[:first] = kept
        self._device.copies.record(slot.copying)
        slot.buffer.fetch(slot.host, first, end - first)
        self._device.copies.record(slot.copied)
        slot.n_fetched = end

    def _slot(self) -> _Slot:
        buffer = self._device.zeros(_HEAD + self._n_words, np.int64)
        return _Slot(buffer, *(self._device.event() for _ in range(4)))
