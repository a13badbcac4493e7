"""The layout of the package: imports point down, and heavy libraries stay where they belong."""

import ast
import configparser
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FOLDERS = {
    "simcore": "simcore",
    "partition": "simcore.partition",
    "io": "simcore.io",
    "kernels": "simcore.kernels",
}

# Who may import a library; `import simcore` pulls in none of them
LIBRARIES = {
    "mpi4py": ("simcore.services.comm",),
    "cupy": ("simcore.kernels",),
    "cupyx": ("simcore.kernels",),
    "h5py": ("simcore.io",),
    "pynwb": ("simcore.io.nwb",),
    "hdmf": ("simcore.io.nwb",),
    "neo": ("simcore.analysis.interop",),
    "quantities": ("simcore.analysis.interop",),
    "dask": ("simcore.io.sampled", "simcore.io.selection", "simcore.analysis"),
    "scipy": ("simcore.analysis", "simcore.planning"),
}
HEAVY = {*LIBRARIES, "matplotlib", "numba"}

# Rooms from the bottom; a module imports its own group and the layers below. Modules named here
# stand apart from the rest of their room, and "simcore" is the package's __init__, the public names
LAYERS = [
    [["simcore.services"]],
    [["simcore.numerics"]],
    [["simcore.language"]],
    [["simcore.library"]],
    [["simcore.description"]],
    [["simcore.discretization"]],
    [["simcore.shards"]],
    [["simcore.partition"], ["simcore.kernels"], ["simcore.io"]],
    [["simcore.construction"]],
    [["simcore.estimates"]],
    [["simcore.simulation.options"]],
    [
        [
            "simcore.simulation.simulation",
            "simcore.simulation.derived_digest",
            "simcore.simulation.spike_exchange",
            "simcore.simulation.watchdog",
            "simcore.simulation.work_counts",
        ],
        ["simcore.analysis"],
    ],
    [["simcore.planning"]],
    [
        [
            "simcore.simulation.guards",
            "simcore.simulation.supervisor",
            "simcore.simulation.resumption",
        ]
    ],
    [["simcore.simulation.session"]],
    [["simcore.simulation"]],
    [["simcore"]],
    [["simcore.models"]],
    [["simcore.cli", "simcore.__main__"]],
]


def sources():
    """Return {module name: (path, whether it is a package)} of all source files."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join((package, *(parts[:-1] if is_package else parts)))
            found[name] = path, is_package
    return found


MODULES = sources()


def imports(name, source, is_package, modules=MODULES):
    """Return the modules a source imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                found.update(alias.name for alias in node.names)
            case ast.ImportFrom():
                base = absolute(name, is_package, node)
                for alias in node.names:
                    if (base, alias.name) == ("simcore", "__version__"):
                        continue
                    member = f"{base}.{alias.name}"
                    found.add(member if member in modules else base)
            case ast.Call(args=[ast.Constant(value=str(module)), *_]) if "import" in ast.unparse(
                node.func
            ):
                found.add(module)
    return found


def absolute(name, is_package, node):
    """Return the full name of the module in `from module import ...`."""
    if not node.level:
        return node.module
    parents = name.split(".") if is_package else name.split(".")[:-1]
    parents = parents[: len(parents) - node.level + 1]
    return ".".join([*parents, *([node.module] if node.module else [])])


def belongs(module, package):
    return module == package or module.startswith(f"{package}.")


def place(module):
    """Return (layer, group) of one of our modules."""
    for layer, groups in enumerate(LAYERS):
        for group in groups:
            if any(
                module == name or (name != "simcore" and belongs(module, name)) for name in group
            ):
                return layer, group
    return LAYERS.index([["descriptions"]]), ["descriptions"]


def faults(name, imported):
    """Return what is wrong with the imports of a module, one line each."""
    found = []
    layer, group = place(name)
    for target in sorted(imported):
        library = target.split(".")[0]
        if library in LIBRARIES and not any(belongs(name, p) for p in LIBRARIES[library]):
            found.append(f"{name} imports {library}, only {' and '.join(LIBRARIES[library])} may")
        if library == "simcore":
            target_layer, target_group = place(target)
            if target_layer > layer:
                found.append(f"{name} imports {target}, which is above it")
            elif target_layer == layer and target_group != group:
                found.append(f"{name} imports {target}, which is beside it")
    return found


def test_imports_point_down_and_libraries_stay_at_home():
    found = []
    for name, (path, is_package) in MODULES.items():
        found += faults(name, imports(name, path.read_text(encoding="utf-8"), is_package))

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        (
            "simcore.description.network",
            "from mpi4py import MPI",
            "imports mpi4py, only simcore.services.comm may",
        ),
        ("simcore.simulation.simulation", "def f():\n    import h5py", "imports h5py"),
        (
            "simcore.description.network",
            "import importlib as i\ni.import_module('cupy.cuda')",
            "imports cupy",
        ),
        ("simcore.io.writer", "import dask.array", "imports dask"),
        ("simcore.io.writer", "from simcore.kernels import cpu", "beside it"),
        ("simcore.io.writer", "from ..partition.shard import Shard", "beside it"),
        ("simcore.kernels.cpu", "import simcore.simulation.simulation", "above it"),
        ("simcore.description.network", "from simcore import cli", "above it"),
        ("simcore.description.network", "from simcore import Simulation", "above it"),
        ("simcore.services.comm", "from simcore.description.network import Network", "above it"),
        ("simcore.language.step", "from simcore.library import load", "above it"),
        (
            "simcore.library.iaf_psc_exp",
            "from simcore.description.population import Population",
            "above it",
        ),
        ("simcore.numerics.portable", "from simcore.language import units", "above it"),
        ("simcore.simulation.simulation", "from simcore import analysis", "beside it"),
    ],
)
def test_guard_sees(name, source, fault):
    modules = {"simcore.cli", "simcore.analysis"}

    found = faults(name, imports(name, source, is_package=False, modules=modules))

    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("simcore.services.comm", "def f():\n    from mpi4py import MPI"),
        ("simcore.io.sampled", "import dask.array as da\nimport h5py"),
        ("simcore.kernels.cuda.backend", "import cupy"),
        (
            "simcore.kernels.cpu",
            "from simcore.services.errors import ModelError\nfrom . import contract",
        ),
        ("simcore.simulation.simulation", "import simcore.io, simcore.kernels, simcore.partition"),
        ("simcore.__main__", "from simcore.cli import main"),
        ("simcore.models.microcircuit", "import simcore as sc"),
    ],
)
def test_guard_lets_pass(name, source):
    assert not faults(name, imports(name, source, is_package=False))


def test_every_module_has_a_room():
    rooms = {name for name, (_, is_package) in MODULES.items() if is_package}
    flat = {name for name in MODULES if name.count(".") == 1} - rooms

    assert flat == {"simcore.__main__"}


def test_import_is_light():
    program = "import sys, simcore; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    heavy = sorted(HEAVY & set(done.stdout.split()))
    assert not heavy, f"import simcore pulls in {', '.join(heavy)}: import them where they are used"


def test_setup_lists_every_package():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())

    packages = {
        name if is_package else name.rpartition(".")[0] for name, (_, is_package) in MODULES.items()
    }
    missing = sorted(packages - listed)
    assert not missing, f"setup.cfg does not list {', '.join(missing)}: wheels would lack them"
