"""Plans of a few arms, each by its method."""

from pathlib import Path
from typing import Any

from helpers.plans import request

from ablations.arms import Arm
from ablations.designs import PaperTable
from ablations.spec import Ablation
from study.planning.plan import StudyPlan, plan_study


def arm(runs: str, **changes: Any) -> Arm:
    return Arm(name=f"by {runs}", label=runs, runs=runs, **changes)


def planned(root: Path, *arms: Arm, **options: Any) -> StudyPlan:
    table = Ablation(name="own", title="t", question="q?", design=PaperTable(rows=arms, baseline=None))
    return plan_study(request(root, ablations=(table,), seeds=1, categories=("plate",), **options))
