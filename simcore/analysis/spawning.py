"""Scripts that start processes: without a guard each process would run the script again."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import FrameType, ModuleType

from simcore.services.errors import ConfigError

_GUARD = 'if __name__ == "__main__":'


def require_guard(scheduler: str) -> None:
    """Raise `ConfigError` if new processes of Python would run the calling script again.

    They import the script first. A line of it that starts processes must therefore stand below
    ``if __name__ == "__main__":``, or be reached from there.

    Parameters
    ----------
    scheduler : str
        What starts the processes.

    Raises
    ------
    ConfigError
        Naming the script and the line.
    """
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    if path is None or _is_not_imported(main, path):
        return
    line = _line_of(main, path)
    if line is None or _is_guarded(path, line):
        return
    raise ConfigError(
        f"scheduler {scheduler!r} starts processes that run {path!r} again, up to line {line}, "
        f"which must stand below a line `{_GUARD}`. Put what the script does there, or take the "
        "scheduler 'threads'."
    )


def _is_not_imported(main: ModuleType, path: str) -> bool:
    """Tell whether processes leave the main module alone, as they do with those of packages."""
    name = getattr(getattr(main, "__spec__", None), "name", "")
    return name.rpartition(".")[2] == "__main__" or Path(path).stem == "ipython"


def _line_of(main: ModuleType, path: str) -> int | None:
    """Return the line of the main module that is being executed; None in another thread."""
    frame: FrameType | None = sys._getframe()
    line = None
    while frame is not None:
        own = frame.f_globals is vars(main) and frame.f_code.co_filename == path
        if own and frame.f_code.co_name == "<module>":
            line = frame.f_lineno
        frame = frame.f_back
    return line


def _is_guarded(path: str, line: int) -> bool:
    """Tell whether a line stands in an `if` that asks for the name of the module."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        # It cannot be read: let Python say what is wrong
        return True
    return any(
        isinstance(node, ast.If)
        and node.lineno <= line <= (node.end_lineno or line)
        and "__name__" in ast.unparse(node.test)
        for node in ast.walk(tree)
    )
