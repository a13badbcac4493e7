"""How fast the states move that are integrated in substeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from simcore.language.expression import evaluate, substitute, symbol
from simcore.language.model import NeuronModel
from simcore.language.step import stepped_states

_SHIFT = 1e-6


def fastest_state(model: NeuronModel, given: Mapping[str, Any]) -> tuple[str, float]:
    """Return which state of those in substeps decays fastest at rest, and its time constant [ms].

    Parameters
    ----------
    model : NeuronModel
        The model; where all states are integrated exactly, the name is empty and the time infinite.
    given : mapping of str to float or ndarray
        Its parameters, of one neuron or of several.
    """
    d, values = model.definition, {"h": math.nan, **given}
    start = values | {name: evaluate(x, values) for name, x in d.starts.items()}
    local = {symbol(name): x for name, x in d.locals.items()}
    found = "", math.inf
    for name in stepped_states(d):
        slope = substitute(d.slopes[name], local)
        shift = _SHIFT * np.maximum(1.0, abs(start[name]))
        low, high = (evaluate(slope, start | {name: start[name] + s}) for s in (-shift, shift))
        rate = float(np.max((low - high) / (2.0 * shift)))
        if rate > 0.0 and 1.0 / rate < found[1]:
            found = name, 1.0 / rate
    return found
