"""Files: what a run writes, and how it is read. HDF5 is loaded with the first file."""

from simcore.io.packing import pack
from simcore.io.parts import check_output
from simcore.io.reader import PotentialData, Run, SpikeData, open_run
from simcore.io.recorder import Recorder, probes
from simcore.io.writer import RunWriter

__all__ = [
    "PotentialData",
    "Recorder",
    "Run",
    "RunWriter",
    "SpikeData",
    "check_output",
    "open_run",
    "pack",
    "probes",
]
