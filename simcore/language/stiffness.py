"""How fast the states move that are integrated in substeps."""

from __future__ import annotations

import math

from simcore.language.expression import evaluate, substitute, symbol
from simcore.language.model import NeuronModel
from simcore.language.step import stepped_states

_SHIFT = 1e-6


def fastest_state(model: NeuronModel) -> tuple[str, float]:
    """Return which state of those in substeps decays fastest at rest, and its time constant [ms].

    Parameters
    ----------
    model : NeuronModel
        The model; where all states are integrated exactly, the name is empty and the time infinite.
    """
    d, values = model.definition, {"h": math.nan, **model.values}
    start = values | {name: float(evaluate(x, values)) for name, x in d.starts.items()}
    local = {symbol(name): x for name, x in d.locals.items()}
    found = "", math.inf
    for name in stepped_states(d):
        slope, shift = substitute(d.slopes[name], local), _SHIFT * max(1.0, abs(start[name]))
        low, high = (evaluate(slope, start | {name: start[name] + s}) for s in (-shift, shift))
        rate = float(low - high) / (2.0 * shift)
        if rate > 0.0 and 1.0 / rate < found[1]:
            found = name, 1.0 / rate
    return found
