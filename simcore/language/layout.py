"""The columns of a model: what is kept for each neuron; and its receptors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """What is kept for each neuron.

    Parameters
    ----------
    name : str
        Its name, also for records and in checkpoints.
    kind : {"real", "steps"}
        Numbers of the type of the state, or whole steps in 16 bits.
    unit, meaning : str
        For people.
    start : str
        Its first value, a formula of parameters.
    relative_to : str or None
        Parameter that it is kept relative to.
    """

    name: str
    kind: str
    unit: str
    meaning: str
    start: str = "0"
    relative_to: str | None = None


@dataclass(frozen=True)
class Receptor:
    """One input of a neuron.

    Parameters
    ----------
    name : str
        Its name.
    actions : str
        Statements that add `weight` to states.
    unit : str
        Unit of the weights.
    counts : bool
        Whether it takes the number of spikes instead of their weights.
    """

    name: str
    actions: str
    unit: str
    counts: bool = False


@dataclass(frozen=True)
class Layout:
    """The columns of a model, in order.

    Parameters
    ----------
    columns : tuple of Column
        First those of reals.
    """

    columns: tuple[Column, ...]

    @property
    def reals(self) -> tuple[Column, ...]:
        """The columns of the type of the state."""
        return tuple(c for c in self.columns if c.kind == "real")

    @property
    def has_refractory(self) -> bool:
        """Whether there is a column of steps until the neuron integrates again."""
        return any(c.kind == "steps" for c in self.columns)

    def nbytes(self, real: int = 8) -> int:
        """Return what they take for a neuron [B]."""
        return sum(real if c.kind == "real" else 2 for c in self.columns)

    def find(self, name: str) -> Column | None:
        """Return the column of reals of a name; None if there is none."""
        return next((c for c in self.reals if c.name == name), None)

    def column(self, name: str) -> Column | None:
        """Return the column of a name, of reals or of steps; None if there is none."""
        return next((c for c in self.columns if c.name == name), None)


REFRACTORY = Column("refractory", "steps", "steps", "until the neuron integrates again")
