"""Compilation by Numba, with what was compiled before kept as `simcore.services.cache` says.

Numba's own cache wants a folder that can be written, even where all is there already, fails at a
file that is not whole, and notices a change of the file that a function stands in, but not of the
files that it calls.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from simcore.services import cache


def njit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a function at its first call, or load what was compiled before.

    It runs beside other Python threads.

    Parameters
    ----------
    function : callable, optional
        The function; without it a decorator is returned.
    **options
        Options of ``numba.njit``.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(nogil=True, **options)(function)
        dispatcher._cache = _Kept(function)
        return dispatcher

    return decorate if function is None else decorate(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function of a model's text for those that call it; dividing by 0 is no error."""
    return numba.njit(nogil=True, error_model="numpy")(function)


@dataclass(frozen=True)
class Compiled:
    """Code at an address.

    Parameters
    ----------
    address : int
        Where it lies, as long as there is this object.
    code : object
        What keeps it there.
    """

    address: int
    code: Any


def compiled_update(function: Callable[..., Any], real: str, draws: bool = False) -> Compiled:
    """Return the compiled update of a model, compiled now or before.

    Parameters
    ----------
    function : callable
        See `simcore.language.printer.numba_source`.
    real : {"float64", "float32"}
        Type of the state.
    draws : bool
        Whether it draws random numbers, for seed, step and global ids.
    """
    from numba import types

    number = types.CPointer(getattr(types, real))
    signature: tuple[Any, ...] = (
        types.int64, number, number, number, types.CPointer(types.int16), types.int64,
        types.CPointer(types.int32), types.int64, types.CPointer(types.uint8),
    )  # fmt: skip
    if draws:
        signature += (types.uint64, types.uint64, types.CPointer(types.int64))
    dispatcher = njit(function, error_model="numpy")
    dispatcher.compile(signature)
    code = dispatcher.overloads[signature]
    address = code.library.get_pointer_to_function(code.fndesc.llvm_cfunc_wrapper_name)
    return Compiled(int(address), code)


def is_compiled(variant: str) -> bool:
    """Return whether all that a kind of run needs was compiled before, see `mark_compiled`."""
    return cache.is_kept(variant)


def mark_compiled(variant: str) -> None:
    """Note that all that a kind of run needs is compiled now."""
    if not is_compiled(variant):
        cache.store(variant, b"")


class _Kept(NullCache):
    """What Numba asks for the code of a function, and hands it to.

    Parameters
    ----------
    function : function
        The function, not compiled.
    """

    def __init__(self, function: Any) -> None:
        self._function = function

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        """Return the code for a signature; None if there is none that can be used."""
        target_context.refresh()
        content = cache.load(self._name(sig, target_context.codegen()))
        if content is None:
            return None
        kept, parts = pickle.loads(content)
        return CompileResult._rebuild(target_context, *parts) if kept == sig else None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the code for a signature, unless it holds addresses of this process."""
        if not data.library.has_dynamic_globals:
            cache.store(self._name(sig, data.codegen), dumps((sig, data._reduce())))

    def _name(self, sig: Any, codegen: Any) -> str:
        """Return the name of the code for a signature on a processor."""
        key = (_describe(self._function), sig, codegen.magic_tuple())
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:32]
        return f"{self._function.__name__}-{digest}"


def _describe(value: Any) -> Any:
    """Return what tells a function from others, with all that it encloses."""
    function = getattr(value, "py_func", value)
    if not isinstance(function, FunctionType):
        return value
    enclosed = [_describe(cell.cell_contents) for cell in function.__closure__ or ()]
    code = function.__code__
    return function.__module__, function.__qualname__, code.co_firstlineno, enclosed
