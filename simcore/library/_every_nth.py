"""What makes gamma distributed intervals of Poisson events."""

from simcore.language.model import NeuronModel


class _every_nth(NeuronModel):
    """Emits a spike for every `shape` events that reach it; see `sc.GammaSource`."""

    parameters = "shape = 1 [1]  events of a spike"
    state = """
        stage = 0.5 [1]  events since the last spike, and a fraction
        now   = 0   [1]  spikes of this step
    """
    receptors = "events [1] count: pass"
    update = """
        stage = stage + events
        now = rint(stage/shape - 0.5)
        stage = stage - now*shape
    """
    emit = "now"
