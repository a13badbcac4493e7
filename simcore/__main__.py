"""The command ``python -m simcore``."""

from __future__ import annotations

import sys

from simcore.cli import main

if __name__ == "__main__":
    sys.exit(main())
