"""The command ``python -m simcore``."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress

from simcore import cli


def main() -> int:
    """Run the command line; after Ctrl-C the process dies of it, else a shell goes on with a loop.

    Returns
    -------
    int
        The exit code, see `simcore.cli.main`.
    """
    codes: list[int] = []
    # What is registered first is done last
    atexit.register(_die_of_interrupt, codes)
    codes.append(cli.main())
    return codes[0]


def _die_of_interrupt(codes: list[int]) -> None:
    if codes == [cli.INTERRUPTED]:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
