"""Groups of cells, one per method."""

from pathlib import Path
from typing import Any

from helpers.benches import FAST
from helpers.plans import request

from ablations.arms import Arm
from ablations.designs import PaperTable
from ablations.spec import Ablation
from promptad.configs.method_table import METHODS
from promptad.configs.promptad_config import PromptADConfig
from promptad.features.cache import FeatureCache
from study.bench.workbench import Workbench
from study.planning.plan import plan_study
from study.records.group import Group
from study.records.outcome import Outcome


def group_of(root: Path, *methods: str, **options: Any) -> Group:
    tables: list[Ablation] = []
    # A table asks all its rows for the same tasks.
    for tasks in dict.fromkeys(METHODS[name].tasks for name in methods):
        arms = tuple(Arm(name=name, label=name, runs=name) for name in methods if METHODS[name].tasks == tasks)
        metrics = tuple(f"{task}_auroc" for task in tasks)
        design = PaperTable(rows=arms, baseline=None)
        tables.append(Ablation(name=f"own{len(tables)}", title="t", question="q?", design=design, metrics=metrics))
    base = PromptADConfig().with_changes(FAST | {"map_smoothing": 1.0})
    asked = {"ablations": tuple(tables), "base": base, "categories": ("plate",), "seeds": 1, **options}
    plan = plan_study(request(root, **asked))
    (group,) = plan.groups(plan.cells)
    return group


def run(group: Group, cache: FeatureCache | None = None) -> list[Outcome]:
    bench = Workbench(cache=cache, device="cpu", threads=1)
    bench.start_group(group.cells, group.categories)
    return [bench.run(cell) for cell in group.cells]
