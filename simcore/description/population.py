"""Populations: named groups of equal neurons, and views of a part of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simcore.description.distributions import Distribution
from simcore.description.neurons import LIF, GammaSource, Model
from simcore.language.model import NeuronModel
from simcore.services.errors import ModelError, require

if TYPE_CHECKING:
    from simcore.description.network import Network


# What a population may be called
NAMES = 'a text without "/" and NUL that UTF-8 can write, but not "."'


def is_name(name: object) -> bool:
    """Return whether a population may have this name: whether HDF5 can keep it."""
    if not isinstance(name, str) or name in ("", ".") or "/" in name or "\0" in name:
        return False
    return not any("\ud800" <= c <= "\udfff" for c in name)


@dataclass(frozen=True, eq=False)
class Population:
    """A named group of neurons of one model.

    Its neurons hold the global ids `first` to `first + size - 1`; inside the population they are
    counted from 0. An index gives a view of a part: ``E[:10]``, ``E[5]``.

    Parameters
    ----------
    id : int
        Its place in the order of creation.
    name : str
        Its name, also in the output file.
    size : int
        Number of neurons.
    model : LIF, NeuronModel, PoissonSource, GammaSource or SpikeTrains
        The neurons' model.
    first : int
        Global id of neuron 0.
    start : dict of str to Distribution
        First values of states, where they are not those of the model.
    """

    id: int
    name: str
    size: int
    model: Model
    first: int
    start: Mapping[str, Distribution] = field(default_factory=dict)
    network: Network | None = field(default=None, repr=False)

    @cached_property
    def neuron(self) -> NeuronModel | None:
        """The equations of the neurons; None for sources that have no state."""
        if isinstance(self.model, (LIF, GammaSource)):
            return self.model.neuron()
        return self.model if isinstance(self.model, NeuronModel) else None

    @property
    def is_source(self) -> bool:
        """Whether the neurons only emit spikes and receive none."""
        return self.neuron is None or isinstance(self.model, GammaSource)

    @property
    def n_receptors(self) -> int:
        """Number of separate input sums per neuron."""
        return 1 if self.neuron is None else self.neuron.n_receptors

    def counts(self, receptor: int) -> bool:
        """Return whether a receptor takes the number of spikes instead of their weights."""
        neuron = self.neuron
        return neuron is not None and neuron.definition.receptors[receptor].counts

    def receptor_pair(self, name: str | None, subject: str) -> tuple[int, int]:
        """Return the receptors of weights of at least 0, and of negative ones.

        Parameters
        ----------
        name : str or None
            One for both; None leaves it to the sign, where the model says so.
        subject : str
            What asks, for the message.
        """
        if self.neuron is None:
            return 0, 0
        names = [r.name for r in self.neuron.definition.receptors]
        pair = self.neuron.receptors_by_sign
        if name is None and pair is not None:
            return pair
        valid = f"one of {', '.join(names)}, the receptors of {self.neuron.name}"
        require(name in names, f"{subject}: receptor", name, valid)
        return (names.index(str(name)),) * 2

    def view(self) -> PopulationView:
        """Return the view of all neurons."""
        return PopulationView(self, range(self.size))

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int | slice) -> PopulationView:
        return self.view()[index]

    def describe(self) -> dict[str, Any]:
        """Return the population as plain values."""
        return {
            "name": self.name,
            "size": self.size,
            "first_gid": self.first,
            **self.model.describe(),
            "start": {name: value.describe() for name, value in self.start.items()},
        }


@dataclass(frozen=True)
class PopulationView:
    """Some neurons of one population, in order.

    An index gives a view of a part of them, counted from the first: ``E[10:20][2:4]`` has the
    neurons 12 and 13.

    Parameters
    ----------
    population : Population
        Whose neurons.
    indices : range
        Their indices within the population.
    """

    population: Population
    indices: range

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int | slice) -> PopulationView:
        try:
            chosen = self.indices[index]
        except (IndexError, TypeError, ValueError):
            raise ModelError(
                f"population {self.name!r}: index is {index!r}, "
                f"must be a slice or a whole number in [0, {self.size})"
            ) from None
        kept = range(chosen, chosen + 1) if isinstance(chosen, int) else chosen
        return PopulationView(self.population, kept)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return len(self.indices)

    @property
    def contiguous(self) -> bool:
        """Whether the indices follow one another without a gap."""
        return self.size <= 1 or self.indices.step == 1

    @property
    def gid_range(self) -> tuple[int, int]:
        """First global id, and the one after the last, of a contiguous view."""
        first = self.population.first + (self.indices.start if self.size else 0)
        return first, first + self.size

    @property
    def name(self) -> str:
        """The population's name, with the part that is meant."""
        if self.size == self.population.size:
            return self.population.name
        start, stop, step = self.indices.start, self.indices.stop, self.indices.step
        return f"{self.population.name}[{start}:{stop}{'' if step == 1 else f':{step}'}]"

    def gids(self) -> NDArray[np.int64]:
        """Return the global ids, shape (size,)."""
        span = self.indices
        return self.population.first + np.arange(span.start, span.stop, span.step, dtype=np.int64)

    def overlaps(self, other: PopulationView) -> bool:
        """Return whether two contiguous views share a neuron."""
        (a, b), (c, d) = self.gid_range, other.gid_range
        return max(a, c) < min(b, d)


def as_views(value: Any, subject: str, contiguous: bool = True) -> list[PopulationView]:
    """Return a population, a view or a list of these as a list of views.

    Parameters
    ----------
    value : Population, PopulationView or sequence of these
        What the user gave.
    subject : str
        What it is for, for the message.
    contiguous : bool
        Whether views with a step other than 1 are refused.

    Raises
    ------
    ModelError
        When `value` is something else.
    """
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    views = []
    for item in items:
        view = item.view() if isinstance(item, Population) else item
        if not isinstance(view, PopulationView):
            raise ModelError(
                f"{subject} is {item!r}, must be a population, a slice of one, or a list of these"
            )
        if contiguous and not view.contiguous:
            raise ModelError(
                f"{subject} is {view.name!r}, must have a step of 1. "
                "Make a population of its own for every group."
            )
        views.append(view)
    return views
