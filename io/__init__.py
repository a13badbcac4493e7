"""Files: what a run writes, and how it is read. HDF5 is loaded with the first file."""

from simcore.io.export import export_run
from simcore.io.nest import import_nest
from simcore.io.packing import pack
from simcore.io.parts import check_output
from simcore.io.reader import Run, open_recording, open_run
from simcore.io.recorder import Recorder, probes
from simcore.io.recording import Recording
from simcore.io.reports import Report
from simcore.io.sampled import SampleData
from simcore.io.selection import Selection, SpikeData
from simcore.io.sonata import SonataFile
from simcore.io.temporary import TemporaryFolder
from simcore.io.writer import RunWriter

__all__ = [
    "Recorder",
    "Recording",
    "Report",
    "Run",
    "RunWriter",
    "SampleData",
    "Selection",
    "SonataFile",
    "SpikeData",
    "TemporaryFolder",
    "check_output",
    "export_run",
    "import_nest",
    "open_recording",
    "open_run",
    "pack",
    "probes",
]
