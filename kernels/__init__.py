"""The arithmetic of a step, behind one contract."""

from simcore.errors import ConfigError, require
from simcore.kernels.backend import Backend, Probe
from simcore.shard import Shard

BACKENDS = ("cpu", "reference")

__all__ = ["BACKENDS", "Backend", "Probe", "check_backend", "make_backend", "needs_compilation"]


def check_backend(name: str, precision: str) -> None:
    """Raise `ConfigError` unless there is a backend and a precision of these names."""
    valid = ", ".join(("auto", *BACKENDS))
    require(name in ("auto", *BACKENDS), "backend", name, f"one of {valid}", error=ConfigError)
    known = precision in ("float64", "float32")
    require(known, "precision", precision, "float64 or float32", error=ConfigError)


def needs_compilation(name: str) -> bool:
    """Return whether a backend of that name must first be compiled, which takes a while."""
    if name == "reference":
        return False
    from simcore.jit import is_compiled

    return not is_compiled()


def make_backend(
    name: str, shard: Shard, probes: tuple[Probe, ...] = (), precision: str = "float64"
) -> Backend:
    """Return the backend of that name for a shard.

    Parameters
    ----------
    name : {"auto", "cpu", "reference"}
        The backend; "auto" takes the fastest that this machine has.
    shard : Shard
        What the rank owns.
    probes : tuple of Probe
        What to sample.
    precision : {"float64", "float32"}
        Type of the state.

    Raises
    ------
    ConfigError
        When there is no such backend or precision.
    """
    check_backend(name, precision)
    if name == "reference":
        from simcore.kernels.reference import ReferenceBackend

        return ReferenceBackend(shard, probes, precision)
    from simcore.kernels.cpu.backend import CpuBackend

    return CpuBackend(shard, probes, precision)
