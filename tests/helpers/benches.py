"""Groups of cells that a workbench runs in a second."""

from pathlib import Path

from helpers.plans import request

from promptad.configs.promptad_config import PromptADConfig
from promptad.features.cache import FeatureCache
from study.bench.workbench import Workbench
from study.planning.plan import plan_study
from study.records.group import Group
from study.records.outcome import Outcome

FAST = {"epochs": 3, "map_size": 48}


def planned(root: Path, **changes: object) -> Group:
    base = PromptADConfig().with_changes(FAST | changes)
    plan = plan_study(request(root, base=base, categories=("plate",)))
    (group,) = plan.groups(plan.cells)
    return group


def run_all(group: Group, *, cache: FeatureCache | None = None, order: int = 1) -> dict[str, Outcome]:
    bench = Workbench(cache=cache, device="cpu", threads=1)
    bench.start_group(group.cells, group.categories)
    return {cell.digest: bench.run(cell) for cell in group.cells[::order]}
