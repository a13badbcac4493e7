"""Compile the kernels of the CPU: `python -m tests.warm_up`."""

import simcore as sc
from simcore.services.comm import SerialComm
from tests.networks import every_feature

for precision in ("float64", "float32"):
    for threads in (1, 2):
        options = {"backend": "cpu", "precision": precision, "threads": threads}
        sc.simulate(every_feature(), 1.0, comm=SerialComm(), **options)
