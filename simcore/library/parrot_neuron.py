"""A neuron that repeats what it hears."""

from simcore.language.model import NeuronModel


class parrot_neuron(NeuronModel):
    """A neuron that emits, at the end of a step, as many spikes as arrive in it.

    Weights do not matter. Source: NEST's ``parrot_neuron``.
    """

    receptors = "spikes [1] count: pass"
    emit = "spikes"
