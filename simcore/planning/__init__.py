"""What a run will cost, before it is started: memory, files, and time."""

from simcore.planning.costs import CostModel, Prediction
from simcore.planning.workload import Workload

__all__ = ["CostModel", "Prediction", "Workload"]
