"""Groups of cells that a workbench runs in a second."""

from helpers.plans import request

from promptad.configs.promptad_config import PromptADConfig
from study.bench.workbench import Workbench
from study.planning.plan import plan_study

FAST = {"epochs": 3, "map_size": 48}


def planned(root, **changes):
    base = PromptADConfig().with_changes(FAST | changes)
    plan = plan_study(request(root, base=base, categories=("plate",)))
    (group,) = plan.groups(plan.cells)
    return group


def run_all(group, *, cache=None, order=1):
    bench = Workbench(cache=cache, device="cpu", threads=1)
    bench.start_group(group.cells, group.category)
    return {cell.digest: bench.run(cell) for cell in group.cells[::order]}
