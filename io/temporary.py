"""Folders for files that nobody named, which go with the last object that reads them."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref

from simcore.services.errors import unwritable


class TemporaryFolder:
    """A new folder, removed with all that is in it when this object is collected, or at exit.

    A process that was forked off does not remove the folder of its parent.

    Attributes
    ----------
    name : str
        The folder.

    Raises
    ------
    OutputError
        When there is no place for it.
    """

    def __init__(self) -> None:
        try:
            self.name = tempfile.mkdtemp(prefix="simcore-")
        except OSError as error:
            raise unwritable("a temporary folder (TMPDIR)", error) from error
        self._finalizer = weakref.finalize(self, _remove, self.name, os.getpid())

    def cleanup(self) -> None:
        """Remove the folder now."""
        self._finalizer()


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
