"""``simcore models``: which networks and neurons are built in, and the parameters of one."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import textwrap
from collections.abc import Callable
from typing import Any

from simcore import library
from simcore.cli.modelfile import Model, builtin_names, find_model
from simcore.cli.parameters import Parameter, parameters_of
from simcore.cli.parser import STYLE, Commands, print_json
from simcore.language.model import NeuronModel
from simcore.language.printer import cuda_source, numba_source
from simcore.language.program import make_program
from simcore.models import Activity
from simcore.services.comm import Comm
from simcore.services.errors import ConfigError, require


def add_models(commands: Commands) -> None:
    """Add the arguments of ``simcore models``."""
    text = "List the built-in networks and neuron models, or show one with its parameters."
    examples = (
        "examples:\n  simcore models\n  simcore models microcircuit\n"
        "  simcore models aeif_cond_exp\n  simcore models aeif_cond_exp --source cuda\n"
    )
    parser = commands.add_parser(
        "models", help="list the built-in models", description=text, epilog=examples, **STYLE
    )
    parser.set_defaults(command=models, parallel=False)
    parser.add_argument("name", metavar="NAME", nargs="?", help="a built-in name or Python file")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--source", nargs="?", choices=("cpu", "cuda"), const="cpu",
        help="print what is made of the equations of a neuron model",
    )  # fmt: skip


def models(arguments: argparse.Namespace, comm: Comm) -> None:
    """Print the built-in models, or one with its parameters."""
    if arguments.name in library.names():
        neuron = library.load(arguments.name)
        if arguments.source is not None:
            print(source_of(neuron, arguments.source))
        elif arguments.json:
            print_json(neuron_values(neuron))
        else:
            print(neuron_text(neuron))
        return
    require(
        arguments.source is None, "--source", arguments.name, "with the name of a neuron model",
        f"They are {', '.join(library.names())}.", ConfigError,
    )  # fmt: skip
    if arguments.name is not None:
        model = find_model(arguments.name)
        if arguments.json:
            print_json(model_values(model))
        else:
            print(model_text(model))
        return
    found = [find_model(name) for name in builtin_names()]
    neurons = [library.load(name) for name in library.names()]
    if arguments.json:
        print_json([*map(model_values, found), *map(neuron_values, neurons)])
        return
    print("networks:\n")
    print("\n\n".join(model_lines(model) for model in found))
    print("\nneurons, under NEST's names:\n")
    print("\n".join(f"{neuron.__name__}: {_first_line(neuron)}" for neuron in neurons))
    print("\n`simcore models NAME` tells what the parameters of one mean.")


def neuron_values(neuron: type[NeuronModel]) -> dict[str, Any]:
    """Return a neuron model as plain values."""
    model = neuron()
    declared = {d.name.partition("[")[0]: d for d in neuron.declared_parameters()}
    return {
        "name": neuron.__name__,
        "summary": _first_line(neuron),
        "parameters": [
            {"name": n, "default": v, "unit": declared[n].unit_text, "text": declared[n].meaning}
            for n, v in model.given.items()
        ],
        "state": [
            {"name": c.name, "unit": c.unit, "text": c.meaning} for c in model.layout.columns
        ],
        "receptors": [{"name": r.name, "unit": r.unit} for r in model.definition.receptors],
    }


def neuron_text(neuron: type[NeuronModel]) -> str:
    """Return a neuron model as text: what it is, its equations, parameters and states."""
    values = neuron_values(neuron)
    parts = [inspect.getdoc(neuron) or neuron.__name__]
    for name in ("before", "equations", "update", "threshold", "emit", "reset", "refractory"):
        text = neuron.text_of(name)
        if text:
            parts.append(f"{name}:\n{textwrap.indent(text, '  ')}")
    for name, rows in (
        ("parameters", [(f"{p['name']} = {p['default']}", p) for p in values["parameters"]]),
        ("state, which can be recorded", [(c["name"], c) for c in values["state"]]),
    ):
        lines = [f"  {left:<26} [{row['unit']}]  {row['text']}".rstrip() for left, row in rows]
        parts.append("\n".join([f"{name}:", *lines]))
    found = ", ".join(f"{r['name']} [{r['unit']}]" for r in values["receptors"])
    chosen = "; the sign of a weight chooses" if neuron().receptors_by_sign == (0, 1) else ""
    parts.append(f"receptors: {found}{chosen}")
    return "\n\n".join(parts)


def source_of(neuron: type[NeuronModel], backend: str) -> str:
    """Return the text of one step of a neuron model, as a backend compiles it."""
    program = make_program(neuron())
    if backend == "cuda":
        return cuda_source(program, neuron.__name__)
    return numba_source(program, "float64")


def model_values(model: Model) -> dict[str, Any]:
    """Return a model and its parameters as plain values."""
    named, _ = parameters_of(model.build)
    texts = _parameter_docs(model.build)
    return {
        "name": model.name,
        "summary": _first_line(model.module),
        "parameters": [
            {
                "name": p.name,
                "type": _kind(p),
                "default": None if p.required else p.default,
                "required": p.required,
                "text": texts.get(p.name, ""),
            }
            for p in named.values()
        ],
    }


def model_lines(model: Model) -> str:
    """Return the summary of a model, and its parameters with their defaults, as a few lines."""
    values = model_values(model)
    # Break lines between parameters, not inside
    given = [f"{p['name']} = {_default(p)}".replace(" ", "\0") for p in values["parameters"]]
    wrapped = textwrap.fill(
        ", ".join(given), width=100, initial_indent="  ", subsequent_indent="  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return f"{model.name}: {values['summary']}\n{wrapped}".replace("\0", " ").rstrip()


def model_text(model: Model) -> str:
    """Return a model and its parameters as text."""
    parts = [inspect.getdoc(model.module) or model.origin]
    lines = []
    for p in model_values(model)["parameters"]:
        lines.append(f"  {p['name']} = {_default(p)}\n      {p['text']}".rstrip())
    parts.append("\n".join(["parameters, for --set NAME=VALUE:", *lines]))
    expected = getattr(model.module, "EXPECTED", ())
    if expected:
        parts.append("\n".join(["expected activity:", *(_expectation(model, a) for a in expected)]))
    return "\n\n".join(parts)


def _expectation(model: Model, activity: Activity) -> str:
    """Return what a network is expected to do as a few lines."""
    lines = [f"  {activity.name}"] if activity.name else []
    lines.append(f"  {activity.command(model.name)}")
    lines += [f"      {measure}: {activity.expected(measure)}" for measure in activity.ranges]
    lines += textwrap.wrap(
        f"from {activity.source}", 100, initial_indent=" " * 6, subsequent_indent=" " * 6
    )
    return "\n".join(lines)


def _default(parameter: dict[str, Any]) -> str:
    """Return the default of a parameter as users write it."""
    return "required" if parameter["required"] else json.dumps(parameter["default"], default=str)


def _first_line(documented: Any) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def _kind(parameter: Parameter) -> str:
    if parameter.kind is inspect.Parameter.empty:
        return "any"
    return getattr(parameter.kind, "__name__", str(parameter.kind))


def _parameter_docs(function: Callable[..., Any]) -> dict[str, str]:
    """Return the text of each parameter in a numpydoc docstring."""
    doc = inspect.getdoc(function) or ""
    section = re.search(
        r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-+$|\Z)", doc, re.DOTALL | re.MULTILINE
    )
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in section.group(1).splitlines() if section else ():
        if line and not line[0].isspace():
            names = re.split(r",\s*", line.partition(" : ")[0])
        else:
            for name in names:
                texts[name] = f"{texts.get(name, '')} {line.strip()}".strip()
    return texts
