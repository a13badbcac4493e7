"""What a run will cost, before it is started: memory, files, and time."""

from simcore.planning.costs import CostModel, Prediction
from simcore.planning.plan import Plan, Planner, Spread
from simcore.planning.ranks import Setup
from simcore.planning.rates import Rates, choose_rates
from simcore.planning.rehearsal import Rehearsal, rehearse
from simcore.planning.scaling import Scaling
from simcore.planning.study import Study
from simcore.planning.workload import Workload

__all__ = [
    "CostModel",
    "Plan",
    "Planner",
    "Prediction",
    "Rates",
    "Rehearsal",
    "Scaling",
    "Setup",
    "Spread",
    "Study",
    "Workload",
    "choose_rates",
    "rehearse",
]
