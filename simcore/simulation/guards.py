"""Guards: a run whose state has become meaningless ends with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simcore.services.errors import StateError
from simcore.services.failure import fail_together

if TYPE_CHECKING:
    from simcore.description.population import Population
    from simcore.io.recorder import Recorder
    from simcore.simulation.simulation import Simulation

# Model time over which rates are taken [ms]
RATE_WINDOW = 100.0


class Guards:
    """Looks at the state of a simulation between the pieces of a run.

    The sums of synaptic input need no guard: the build refuses a network in which the input of one
    step could exceed its integers, see `simcore.discretization.fixed_point`.

    Parameters
    ----------
    simulation : Simulation
        What runs.
    recorder : Recorder
        What counts its spikes.
    max_rate : float, optional
        Largest mean rate of a population that is accepted [1/s].
    """

    def __init__(
        self, simulation: Simulation, recorder: Recorder, max_rate: float | None = None
    ) -> None:
        self._simulation, self._recorder, self._max_rate = simulation, recorder, max_rate
        self._sizes = np.array([p.size for p in simulation.network.populations])
        self._checked = self._counted = simulation.step
        self._counts = np.zeros_like(recorder.emitted)

    def is_finite(self) -> bool:
        """Tell whether the state of this rank is finite."""
        return not self._simulation.backend.not_finite()

    def fail(self) -> None:
        """Raise the error of a state that is not finite; collective.

        Raises
        ------
        StateError
            On the ranks that are not well, `PeerError` on the others.
        """
        simulation = self._simulation
        with fail_together(simulation.comm):
            for column, gids in simulation.backend.not_finite().items():
                raise StateError(self._describe(column, int(gids[0]), gids.size))

    def check_rates(self) -> None:
        """Raise when a population fires too much; collective.

        Raises
        ------
        StateError
            On all ranks.
        """
        simulation, clock = self._simulation, self._simulation.clock
        self._checked = simulation.step
        length = clock.dt * (simulation.step - self._counted)
        if self._max_rate is None or length < RATE_WINDOW:
            return
        self._recorder.flush()
        counts = simulation.comm.allreduce_sum(self._recorder.emitted)
        rates = 1e3 * (counts - self._counts) / (self._sizes * length)
        begin, end = clock.times([self._counted, simulation.step])
        self._counts, self._counted = counts, simulation.step
        worst = int(np.argmax(rates))
        if rates[worst] > self._max_rate:
            population = simulation.network.populations[worst]
            raise StateError(
                f"population {population.name!r}: its rate from {begin:.10g} to {end:.10g} ms is "
                f"{rates[worst]:.4g} 1/s, must be at most {self._max_rate:g} 1/s (option "
                f"--max-rate){self._busiest(population)}. Look for too much excitation, or raise "
                "the limit."
            )

    def _busiest(self, population: Population) -> str:
        """Return which neuron of a population spiked most of late, as text; collective."""
        comm = self._simulation.comm
        gids = self._recorder.latest
        begin, end = population.view().gid_range
        parts = comm.gather_array(gids[(begin <= gids) & (gids < end)] - begin)
        found = None
        if parts is not None:
            counts = np.bincount(np.concatenate(parts))
            found = int(counts.argmax()) if counts.size else None
        neuron = comm.bcast(found)
        return "" if neuron is None else f"; neuron {neuron} spiked most at the end"

    def _describe(self, column: str, gid: int, number: int) -> str:
        """Return where and when the state of a neuron was found not to be finite."""
        simulation = self._simulation
        state = simulation.backend.state().of(np.array([gid]))
        value = next(float(c[column][0]) for c, span in state.spans() if span.stop > span.start)
        population = next(p for p in reversed(simulation.network.populations) if p.first <= gid)
        begin, end = simulation.clock.times([self._checked, simulation.step])
        neuron = f"{column} of neuron {gid - population.first}"
        others = f" and {number - 1} others of this rank" if number > 1 else ""
        return (
            f"population {population.name!r}: {neuron}{others} is "
            f"{value!r} since a step between {begin:.10g} and {end:.10g} ms, must be finite. "
            "Look at its parameters and its input for values beyond all measure."
        )
