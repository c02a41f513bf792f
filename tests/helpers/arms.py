"""Plans of a few arms, each by its method."""

from helpers.plans import request

from ablations.arms import Arm
from ablations.designs import PaperTable
from ablations.spec import Ablation
from study.planning.plan import plan_study


def arm(runs, **changes):
    return Arm(name=f"by {runs}", label=runs, runs=runs, **changes)


def planned(root, *arms, **options):
    table = Ablation(name="own", title="t", question="q?", design=PaperTable(rows=arms, baseline=None))
    return plan_study(request(root, ablations=(table,), seeds=1, categories=("plate",), **options))
