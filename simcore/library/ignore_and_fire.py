"""A neuron that fires regularly, whatever arrives."""

from simcore.language.model import NeuronModel


class ignore_and_fire(NeuronModel):
    """A neuron that fires at a constant rate and ignores its input.

    Networks of it do the same work at any size, so their scaling is exact. Times are rounded to
    microseconds, and then up to steps. Source: NEST's ``ignore_and_fire``.
    """

    parameters = """
        rate  = 10 [Hz]  spikes per second
        phase = 1  [1]   time of the first spike, in intervals between two
    """
    valid = """
        rate > 0
        phase > 0
        phase <= 1
    """
    constants = "up = 0.5 - 0.0005*ms/h"
    state = "left = rint(phase/(rate*h) + up) + 1 [1]  steps until the next spike"
    receptors = "in [pA]: pass"
    update = "left = left - 1"
    threshold = "left < 0.5"
    reset = "left = rint(1/(rate*h) + up)"
