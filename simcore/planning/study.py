"""A scaling study: one model on several numbers of ranks, each run repeated, in one folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

from simcore.description.degrees import n_synapses
from simcore.description.network import Network
from simcore.services.errors import ConfigError, require, unwritable

_FILE = "study.json"

# How much the load of a rank may differ between numbers of ranks in a weak study, relative
_TOLERANCE = 0.02


class Trial(NamedTuple):
    """One run of a study.

    Parameters
    ----------
    ranks : int
        On so many ranks.
    repetition : int
        From 1.
    output : Path
        Its output file.
    """

    ranks: int
    repetition: int
    output: Path


@dataclass(frozen=True)
class Study:
    """What is run, and how it grows.

    Parameters
    ----------
    kind : {"strong", "weak"}
        One network on all numbers of ranks, or one that grows with them.
    model : str
        As `simcore run` takes it.
    options : tuple of str
        Options of `simcore run`, apart from threads and output.
    ranks : tuple of int
        Numbers of ranks, ascending.
    repetitions : int
        Runs on each.
    threads : int
        Of each rank.
    grow, shrink : mapping of str to float
        Parameters of the model that are multiplied, or divided, by the number of ranks.

    Raises
    ------
    ConfigError
        When a value is out of range.
    """

    kind: str
    model: str
    options: tuple[str, ...]
    ranks: tuple[int, ...]
    repetitions: int = 3
    threads: int = 1
    grow: Mapping[str, float] = field(default_factory=dict)
    shrink: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        valid = "different whole numbers of at least 1, such as 1,2,4"
        ok = len(set(self.ranks)) == len(self.ranks) > 0 and min(self.ranks) >= 1
        require(ok, "ranks", ",".join(map(str, self.ranks)), valid, error=ConfigError)
        object.__setattr__(self, "ranks", tuple(sorted(self.ranks)))
        least = "a whole number of at least 1"
        require(self.repetitions >= 1, "repeat", self.repetitions, least, error=ConfigError)
        require(self.threads >= 1, "threads", self.threads, least, error=ConfigError)
        grows = bool(self.grow or self.shrink)
        remedy = "A weak study needs --grow, such as --grow order=1000; a strong one has none."
        ok = grows == (self.kind == "weak")
        require(ok, "grow", dict(self.grow), "what grows with the ranks", remedy, ConfigError)

    def settings(self, ranks: int) -> dict[str, float]:
        """Return the parameters that depend on the number of ranks."""
        grown = {name: value * ranks for name, value in self.grow.items()}
        return {**grown, **{name: value / ranks for name, value in self.shrink.items()}}

    def arguments(self, ranks: int) -> list[str]:
        """Return what follows `simcore run` on a number of ranks, but for threads and output."""
        grown = [f"--set={name}={value!r}" for name, value in self.settings(ranks).items()]
        return [self.model, *self.options, *grown, "--no-progress"]

    def trials(self, folder: Path) -> Iterator[Trial]:
        """Return all runs; every number of ranks once, before the first is repeated."""
        for repetition in range(1, self.repetitions + 1):
            for ranks in self.ranks:
                yield Trial(ranks, repetition, point(folder, ranks, repetition))

    def write(self, folder: Path) -> None:
        """Write the description into the folder of the study.

        Raises
        ------
        ConfigError
            When the folder holds another study; more ranks and repetitions make it no other.
        OutputError
            When it cannot be written.
        """
        path = folder / _FILE
        if path.exists():
            before = read_study(folder)
            same = asdict(before) | _extent(self) == asdict(self)
            remedy = "Name another folder with -o, or remove this one."
            text = "the folder of this study"
            require(same, f"{path}: folder", "of another study", text, remedy, ConfigError)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise unwritable(f"study {str(path)!r}", error) from error


def point(folder: Path, ranks: int, repetition: int | None = None) -> Path:
    """Return the output file of a run, or the name that those of all repetitions begin with."""
    run = "" if repetition is None else f"-run-{repetition}.h5"
    return folder / f"ranks-{ranks}{run}"


def read_study(folder: Path) -> Study:
    """Return the study that a folder holds.

    Raises
    ------
    ConfigError
        When it holds none.
    """
    path = folder / _FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        lists = {name: tuple(values[name]) for name in ("options", "ranks")}
        return Study(**{**values, **lists})
    except FileNotFoundError as error:
        raise ConfigError(
            f"{str(folder)!r} holds no study, must have a file {_FILE}. "
            "Start one with: simcore scale run, or simcore scale submit."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: is no description of a study: {error}") from error


def require_growth(networks: Mapping[int, Network]) -> None:
    """Raise `ConfigError` unless the load of a rank is the same on all numbers of ranks.

    Parameters
    ----------
    networks : mapping of int to Network
        The network of each number of ranks.
    """
    neurons = {n: network.n_neurons / n for n, network in networks.items()}
    degrees = {
        n: sum(n_synapses(p) for p in network.projections) / network.n_neurons
        for n, network in networks.items()
    }
    first, last = min(networks), max(networks)
    for subject, values, remedy in (
        ("neurons of a rank", neurons, "Name what counts neurons with --grow."),
        ("synapses of a neuron", degrees,
         "Where the in-degree is a share of the network, divide it, as in --shrink epsilon=0.1."),
    ):  # fmt: skip
        low, high = min(values.values()), max(values.values())
        text = f"{values[first]:.6g} on {first} and {values[last]:.6g} on {last} ranks"
        ok = high - low <= _TOLERANCE * max(high, 1.0)
        valid = "equal on all numbers of ranks in a weak study"
        require(ok, subject, text, valid, remedy, ConfigError)


def _extent(study: Study) -> dict[str, object]:
    return {"ranks": study.ranks, "repetitions": study.repetitions}
