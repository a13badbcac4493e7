"""Mean rates of populations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from simcore.io.text import printable


@dataclass(frozen=True)
class Rate:
    """The mean rate of one population.

    Parameters
    ----------
    neurons : int
        Number of neurons that were counted.
    spikes : int
        Number of their spikes.
    rate : float
        Spikes per neuron and second [1/s].
    """

    neurons: int
    spikes: int
    rate: float


class Rates(Mapping[str, float]):
    """Mean rates by population [1/s]; printed, a table.

    Parameters
    ----------
    rows : dict of str to Rate
        The populations whose spikes are known.
    start, stop : float
        The window, after `start` up to and with `stop` [ms].
    """

    def __init__(self, rows: dict[str, Rate], start: float, stop: float) -> None:
        self.rows = rows
        self.start = start
        self.stop = stop

    def __getitem__(self, population: str) -> float:
        return self.rows[population].rate

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        table = [("population", "neurons", "spikes", "rate [1/s]")]
        for name, row in self.rows.items():
            table.append((printable(name), str(row.neurons), str(row.spikes), f"{row.rate:.3f}"))
        widths = [max(len(line[i]) for line in table) for i in range(4)]
        lines = []
        for name, *numbers in table:
            right = (n.rjust(w) for n, w in zip(numbers, widths[1:], strict=True))
            lines.append("  ".join((name.ljust(widths[0]), *right)))
        return "\n".join(lines)
