"""``simcore models``: which models are built in, and the parameters of one."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import textwrap
from collections.abc import Callable
from typing import Any

from simcore.cli.modelfile import Model, builtin_names, find_model
from simcore.cli.parameters import Parameter, parameters_of
from simcore.cli.parser import STYLE, Commands, print_json
from simcore.comm import Comm


def add_models(commands: Commands) -> None:
    """Add the arguments of ``simcore models``."""
    text = "List the built-in models, or show one with its parameters."
    examples = "examples:\n  simcore models\n  simcore models microcircuit\n"
    parser = commands.add_parser(
        "models", help="list the built-in models", description=text, epilog=examples, **STYLE
    )
    parser.set_defaults(command=models, parallel=False)
    parser.add_argument("name", metavar="NAME", nargs="?", help="a built-in name or Python file")
    parser.add_argument("--json", action="store_true", help="as JSON")


def models(arguments: argparse.Namespace, comm: Comm) -> None:
    """Print the built-in models, or one with its parameters."""
    if arguments.name is not None:
        model = find_model(arguments.name)
        if arguments.json:
            print_json(model_values(model))
        else:
            print(model_text(model))
        return
    found = [find_model(name) for name in builtin_names()]
    if arguments.json:
        print_json([model_values(model) for model in found])
        return
    print("\n\n".join(model_lines(model) for model in found))
    print("\n`simcore models NAME` tells what the parameters of one mean.")


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
    return "\n\n".join(parts)


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
