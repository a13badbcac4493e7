"""The update of a model, compiled for the CPU.

Its text is made of the model's equations, and its code is kept like that of all kernels. The loop
over steps calls it at its address, so that the loop is compiled once for all models.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from types import ModuleType
from typing import Any

from simcore.language.printer import numba_source
from simcore.language.program import Program
from simcore.numerics.jit import Compiled, compiled_update


@functools.cache
def load_update(program: Program, real: str, varying: frozenset[int] = frozenset()) -> Compiled:
    """Return the compiled update of a model.

    Parameters
    ----------
    program, real, varying
        See `simcore.language.printer.numba_source`.
    """
    names = compiled_names(numba_source(program, real, varying))
    return compiled_update(names["update"], real, program.n_draws > 0)


def compiled_names(text: str) -> dict[str, Any]:
    """Return what the text of a model defines, as a module named by its digest.

    Numba keeps code by the name of its module, and imports that when it loads the code.
    """
    name = f"simcore_model_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        module = ModuleType(name)
        exec(compile(text, f"<{name}>", "exec"), module.__dict__)
        sys.modules[name] = module
    return vars(sys.modules[name])
