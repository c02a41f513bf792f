"""Questions as data: ablations, their designs and arms, and the published numbers beside them."""

from ablations.arms import Arm, Depths
from ablations.designs import (
    Cumulative,
    DesignError,
    Factor,
    Factorial,
    LeaveOneOut,
    Level,
    OneFactorAtATime,
    PaperTable,
)
from ablations.fractions import FractionalFactorial
from ablations.spec import Ablation, AblationError

__all__ = [
    "Ablation",
    "AblationError",
    "Arm",
    "Cumulative",
    "Depths",
    "DesignError",
    "Factor",
    "Factorial",
    "FractionalFactorial",
    "LeaveOneOut",
    "Level",
    "OneFactorAtATime",
    "PaperTable",
]
