"""Populations: named groups of equal neurons, and views of a part of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simcore.description.distributions import Distribution
from simcore.description.ids import Ids, Indices, evenly_spaced
from simcore.description.neurons import LIF, GammaSource, Model
from simcore.language.model import NeuronModel
from simcore.language.per_neuron import PerNeuron
from simcore.services.errors import ModelError, require

if TYPE_CHECKING:
    from simcore.description.network import Network


Start = Distribution | PerNeuron
"""First values of a state."""

# What chooses neurons of a population: a number, a slice, numbers, or a mask
Index: TypeAlias = "int | slice | ArrayLike"

# Indices of a listed view that its name shows
_SHOWN = 4

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
    counted from 0. An index gives a view of a part: ``E[:10]``, ``E[5]``, ``E[::2]``,
    ``E[[1, 5, 7]]``, ``E[mask]``; see `PopulationView`.

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
    start : dict of str to (Distribution or PerNeuron)
        First values of states, where they are not those of the model.
    """

    id: int
    name: str
    size: int
    model: Model
    first: int
    start: Mapping[str, Start] = field(default_factory=dict)
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

    def __getitem__(self, index: Index) -> PopulationView:
        return self.view()[index]

    def describe(self) -> dict[str, Any]:
        """Return the population as plain values."""
        return {
            "name": self.name,
            "size": self.size,
            "first_gid": self.first,
            **self.model.describe(),
            "first_values": {name: value.describe() for name, value in self.start.items()},
        }


@dataclass(frozen=True, eq=False)
class PopulationView:
    """Some neurons of one population, in order.

    An index gives a view of a part of them, counted from the first: ``E[10:20][2:4]`` has the
    neurons 12 and 13. It is a whole number, a slice, a list or an array of whole numbers, or a mask
    with a boolean for each neuron of the view. The numbers of a list ascend, so none is there
    twice; below 0 they count from the end. A slice may descend.

    The order matters to `OneToOne`, which takes the neurons of both sides in turn, and to `Edges`,
    whose numbers are positions in the views; a permutation is given by `Edges`. Everything else
    takes a view as a set: the same neurons give the same network, however they were chosen.

    Parameters
    ----------
    population : Population
        Whose neurons.
    indices : range or ndarray of int64, shape (size,)
        Their indices within the population.
    """

    population: Population
    indices: Indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Index) -> PopulationView:
        if isinstance(index, (slice, int, np.integer)) and not isinstance(index, bool):
            try:
                chosen = self.indices[index]
            except (IndexError, TypeError, ValueError):
                raise self._refusal(index) from None
            if isinstance(chosen, (int, np.integer)):
                chosen = range(int(chosen), int(chosen) + 1)
        else:
            places = self._places(index)
            own = self.indices
            chosen = own.start + places * own.step if isinstance(own, range) else own[places]
        if not isinstance(chosen, range):
            chosen = evenly_spaced(chosen)
        if not isinstance(chosen, range) and chosen[0] > chosen[-1]:
            raise ModelError(
                f"{self._subject}: index is {_short(index)} of a view, which would list its "
                "neurons in descending order, must list them in ascending order. "
                "Choose them of the population itself."
            )
        return PopulationView(self.population, chosen)

    def _places(self, index: Index) -> NDArray[np.int64]:
        """Return the positions that a list or a mask chooses, in ascending order."""
        try:
            given = np.asarray(index)
        except ValueError:
            raise self._refusal(index) from None
        if given.dtype == bool and given.ndim > 0:
            valid = f"({self.size},), one boolean for each neuron"
            require(given.shape == (self.size,), f"{self._subject}: mask of", given.shape, valid)
            return np.flatnonzero(given)
        if given.ndim != 1 or (given.dtype.kind not in "iu" and given.size):
            raise self._refusal(index)
        wrong = given[(given < -self.size) | (given >= self.size)]
        valid = f"in [{-self.size}, {self.size}), those of its neurons, from the end below 0"
        require(wrong.size == 0, f"{self._subject}: index", wrong[:1].tolist(), valid)
        places = given.astype(np.int64)
        places[places < 0] += self.size
        falls = np.flatnonzero(np.diff(places) <= 0)
        if falls.size:
            before, after = places[falls[0]], places[falls[0] + 1]
            raise ModelError(
                f"{self._subject}: index has {after} after {before}, must ascend from one to the "
                "next, none twice. Sort it, with np.unique; give an order by Edges."
            )
        return places

    def _refusal(self, index: object) -> ModelError:
        return ModelError(
            f"{self._subject}: index is {_short(index)}, must be a slice or a whole number in "
            f"[0, {self.size}), a list of these that ascends, or a mask of {self.size} booleans"
        )

    @property
    def _subject(self) -> str:
        return f"population {self.population.name!r}"

    @property
    def size(self) -> int:
        """Number of neurons."""
        return len(self.indices)

    @cached_property
    def ids(self) -> Ids:
        """Their global ids."""
        return Ids(self.population.first, self.indices)

    @property
    def contiguous(self) -> bool:
        """Whether the indices follow one another without a gap."""
        return self.ids.contiguous

    @property
    def gid_range(self) -> tuple[int, int]:
        """The least global id, and the one after the largest."""
        return self.ids.span

    @property
    def name(self) -> str:
        """The population's name, with the part that is meant."""
        own, name = self.indices, self.population.name
        if not isinstance(own, range):
            shown = ", ".join(str(k) for k in own[:_SHOWN])
            if own.size > _SHOWN:
                shown += f", ... {own[-1]}; {own.size} in all, {self.ids.key[1][:16]}"
            return f"{name}[[{shown}]]"
        if own == range(self.population.size):
            return name
        stop = "" if own.stop < 0 else own.stop
        return f"{name}[{own.start}:{stop}{'' if own.step == 1 else f':{own.step}'}]"

    def gids(self) -> NDArray[np.int64]:
        """Return the global ids, shape (size,)."""
        return self.ids.at(np.arange(self.size))

    def overlaps(self, other: PopulationView) -> bool:
        """Return whether two views share a neuron."""
        return self.ids.n_common(other.ids) > 0


def _short(index: object) -> str:
    text = " ".join(repr(index).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def as_views(value: Any, subject: str) -> list[PopulationView]:
    """Return a population, a view or a list of these as a list of views.

    Parameters
    ----------
    value : Population, PopulationView or sequence of these
        What the user gave.
    subject : str
        What it is for, for the message.

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
                f"{subject} is {item!r}, must be a population, a view of one, or a list of these"
            )
        views.append(view)
    return views
