"""Questions as data: ablations, their designs and arms, and the published numbers beside them."""

from ablations.arms import Arm, Depths, PrintedRow
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
from ablations.domains import Choice, FloatRange, IntRange
from ablations.fractions import FractionalFactorial
from ablations.spaces import Parameter, Space, SpaceError, When
from ablations.spec import Ablation, AblationError

__all__ = [
    "Ablation",
    "AblationError",
    "Arm",
    "Choice",
    "Cumulative",
    "Depths",
    "DesignError",
    "Factor",
    "Factorial",
    "FloatRange",
    "FractionalFactorial",
    "IntRange",
    "LeaveOneOut",
    "Level",
    "OneFactorAtATime",
    "PaperTable",
    "Parameter",
    "PrintedRow",
    "Space",
    "SpaceError",
    "When",
]
