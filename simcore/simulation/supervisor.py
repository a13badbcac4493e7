"""What happens between the pieces of a run: checkpoints, guards, and requests from outside."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from simcore.numerics.clock import NEVER
from simcore.services.errors import StoppedError
from simcore.services.failure import fail_together
from simcore.services.launcher import NOBODY, launched_process
from simcore.services.progress import duration
from simcore.services.signals import STOPS, Signals, in_session
from simcore.simulation.guards import RATE_WINDOW, Guards

if TYPE_CHECKING:
    from simcore.io.checkpoint import Description
    from simcore.io.recorder import Recorder
    from simcore.io.writer import RunWriter
    from simcore.simulation.options import RunOptions
    from simcore.simulation.simulation import Simulation

# Model time between two looks at most [ms], also where a device would stop for them; and wall-clock
# time to aim at [s]
CHECK_INTERVAL, DEVICE_CHECK_INTERVAL = 20.0, 1000.0
_SHORT, _LONG = 0.2, 1.0


class RunSupervisor:
    """Cuts a run into pieces, and after each does what is due; all ranks take part.

    Parameters
    ----------
    simulation : Simulation
        What runs.
    recorder : Recorder
        What records it.
    writer : RunWriter or None
        Where to; None on all ranks but 0.
    output : str
        The output file, beside which the checkpoints lie.
    description : Description
        What a checkpoint says of the run.
    options : RunOptions
        When it writes checkpoints, and when it ends the run.
    signals : Signals
        Where requests from outside are noted.
    beat : callable
        Called now and then, to say that there is progress.
    way : str
        How to go on with the run after a stop.
    """

    def __init__(
        self,
        simulation: Simulation,
        recorder: Recorder,
        writer: RunWriter | None,
        output: str,
        description: Description,
        options: RunOptions,
        signals: Signals,
        beat: Callable[[], None],
        way: str,
    ) -> None:
        self._way = way
        self._simulation, self._recorder, self._writer = simulation, recorder, writer
        self._output, self._description = output, description
        self._options, self._signals, self._beat = options, signals, beat
        self._guards = Guards(simulation, recorder, options.max_rate)
        clock = simulation.clock
        every = options.checkpoint_every
        self._every = clock.steps(every, "checkpoint_every") if every else NEVER
        self._shortest = 1 if simulation.comm.size == 1 else simulation.epoch_steps
        interval = DEVICE_CHECK_INTERVAL if simulation.overlaps_host else CHECK_INTERVAL
        if options.max_rate is not None:
            interval = min(interval, RATE_WINDOW)
        self._longest = max(self._shortest, int(clock.nearest(interval)))
        self._piece = max(self._shortest, int(clock.nearest(CHECK_INTERVAL)))
        self._looked = self._saved = monotonic()
        self._saved_step = simulation.step
        self.n_checkpoints = 0

    def piece_end(self, end: int) -> int:
        """Return where the next piece ends, at most at `end`."""
        step = self._simulation.step
        return min(step + self._piece, step - step % self._every + self._every, end)

    def after_piece(self) -> None:
        """Do what is due after a piece.

        Raises
        ------
        StateError
            When the state has become meaningless.
        StoppedError
            When the run was asked to stop; a checkpoint is written.
        KeyboardInterrupt
            The same after Ctrl-C, where no launcher started the process.
        """
        self._beat()
        simulation = self._simulation
        not_finite, stops, wanted, self._piece = self._agree()
        if not_finite:
            self._guards.fail()
        self._guards.check_rates()
        if stops or wanted or (simulation.step % self._every == 0 and simulation.step):
            self.save()
        if stops:
            time = float(simulation.clock.times(simulation.step))
            who = " and ".join(STOPS[number] for number in stops)
            text = f"stopped at {time:.10g} ms as asked by {who}, with a checkpoint. {self._way}"
            # Ranks leave MPI in order; others as a shell or an interactive session expects it
            if signal.SIGINT in stops and (in_session() or launched_process() == NOBODY):
                raise KeyboardInterrupt(text)
            raise StoppedError(text)

    def save(self) -> None:
        """Write a checkpoint, unless the last one was of this step; collective."""
        from simcore.io.checkpoint import CheckpointData, write_checkpoint

        simulation, recorder = self._simulation, self._recorder
        if self._saved_step == simulation.step and self.n_checkpoints:
            return
        begin = monotonic()
        with simulation.timers("checkpoint"):
            recorder.flush()
            with fail_together(simulation.comm):
                if self._writer is not None:
                    self._writer.commit()
            moment = CheckpointData(
                simulation.step,
                simulation.backend.state(),
                simulation.recent(),
                recorder.spike_counts,
            )
            n_neurons = simulation.network.n_neurons
            write_checkpoint(
                self._output, self._description, moment, n_neurons, simulation.comm, self._beat
            )
        self._saved, self._saved_step = monotonic(), simulation.step
        self.n_checkpoints += 1
        time = float(simulation.clock.times(simulation.step))
        simulation.progress.message(
            f"checkpoint at {time:.10g} ms, written in {duration(self._saved - begin)}"
        )

    def _agree(self) -> tuple[bool, list[signal.Signals], bool, int]:
        """Return whether a rank is ill, who asks to stop, for a checkpoint, and the next length."""
        signals, simulation = self._signals, self._simulation
        asked = [number in signals.stops for number in STOPS]
        own = np.array(
            [not self._guards.is_finite(), signals.checkpoint, 0, *asked], dtype=np.int64
        )
        signals.checkpoint = False
        if simulation.comm.rank == 0:
            now = monotonic()
            wall = self._options.checkpoint_wall or math.inf
            own[1] |= now > self._saved + wall
            own[2] = self._next_length(now - self._looked)
            self._looked = now
        not_finite, wanted, length, *asked = simulation.comm.allreduce_sum(own).tolist()
        stops = [number for number, ranks in zip(STOPS, asked, strict=True) if ranks]
        return bool(not_finite), stops, bool(wanted), length

    def _next_length(self, seconds: float) -> int:
        """Return the steps of the next piece, given how long the last one took."""
        if seconds > _LONG:
            return max(self._shortest, self._piece // 2)
        return min(self._longest, 2 * self._piece) if seconds < _SHORT else self._piece
