"""Built-in networks: each module has a function `build(**parameters)` that returns a network.

A module may have a tuple `EXPECTED` of what others found its network to do, and a dictionary
`MEASURES` of functions of a run, for what no other network has. `simcore models NAME` prints it,
`benchmarks/networks.py` and the tests run and measure it; nothing else knows of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Activity:
    """What a network does with some parameters, as others found it.

    Parameters
    ----------
    ranges : mapping of str to (float, float)
        Smallest and largest value of each measure, see `benchmarks/networks.py`.
    source : str
        Who found it.
    stop : float
        How long the network runs [ms].
    start : float
        From when on it is measured [ms].
    parameters : mapping of str to object
        Parameters of `build`, where they are not its defaults.
    dt : float
        Time step [ms].
    name : str
        What the state is called.
    """

    ranges: Mapping[str, tuple[float, float]]
    source: str
    stop: float
    start: float = 0.0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    dt: float = 0.1
    name: str = ""

    def command(self, network: str) -> str:
        """Return the command that runs it."""
        given = [
            f"--set {name}={value:g}" if isinstance(value, float) else f"--set {name}={value}"
            for name, value in self.parameters.items()
        ]
        step = [] if self.dt == 0.1 else [f"--dt {self.dt:g}"]
        times = [f"--duration {self.stop:g}"]
        times += [f"--record-from {self.start:g}"] if self.start > 0.0 else []
        return " ".join(["simcore run", network, *given, *step, *times])

    def expected(self, measure: str) -> str:
        """Return the range of a measure as text."""
        low, high = self.ranges[measure]
        if low == high:
            return f"{low:.10g}"
        return f"at least {low:g}" if high == math.inf else f"{low:.10g} to {high:.10g}"

    def contains(self, measure: str, value: float) -> bool:
        """Return whether a value of a measure is in its range."""
        low, high = self.ranges[measure]
        return low <= value <= high
