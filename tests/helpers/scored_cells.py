"""Searches over cells that are scored by a formula and computed by nothing, in plans of the small inspection set."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from helpers.one_by_one import OneByOne
from helpers.plans import request

from ablations.ours.ready_spaces import PAPER
from promptad.configs.promptad_config import PromptADConfig
from study.records.cell import Cell
from study.records.ledger import Ledger
from study.records.outcome import Outcome
from study.records.row import Row
from study.running.execution_options import Listeners
from study.search.engine import Search
from study.search.search_document import SearchRequest
from study.search.search_plan import SearchPlan, plan_search
from study.search.serial_search import search_serially
from study.search.trial_records import SearchLog

DIFFICULTY = {"plate": 0.1, "disc": 0.2}


def search_plan(root: Path, **changes: Any) -> SearchPlan:
    """A search over the small set; ``base`` and ``seeds`` go to the study's request."""
    study = {name: changes.pop(name) for name in ("base", "seeds", "shots", "categories") if name in changes}
    values: dict[str, Any] = {"space": PAPER, "objective": "synthetic", "sampler": "tpe", "trials": 8}
    asked = request(root, **({"ablations": (), "base": PromptADConfig(epochs=3, map_size=48), "shots": (2,)} | study))
    return plan_search(SearchRequest(study=asked, **(values | changes)))


def quality(config: PromptADConfig) -> float:
    """Best at lambda = 0.01, N = 2, L = 5."""
    distance = (math.log10(max(config.align_weight, 1e-9)) + 2) ** 2 / 10
    prompts = max(config.n_normal_prompts_image, config.n_normal_prompts_pixel)
    return 0.9 - 0.05 * (distance + (prompts - 2) ** 2 / 4 + (config.n_anomaly_suffixes - 5) ** 2 / 20)


class Killed(BaseException):
    """Stands for a driver that is no more: nothing handles it."""


class ScoredBench(OneByOne):
    """A workbench whose scores are a formula; it dies before cell number ``dies_at``, and cells can be made to fail."""

    device, threads, company = "cpu", 1, 1

    def __init__(self, *, dies_at: int | None = None, fails: Callable[[Cell], bool] | None = None) -> None:
        self.ran: list[str] = []
        self.dies_at, self.fails = dies_at, fails

    def release(self) -> None:
        """Nothing to give back."""

    def run(self, cell: Cell) -> Outcome:
        """A row at once."""
        if self.dies_at is not None and len(self.ran) >= self.dies_at:
            raise Killed
        self.ran.append(cell.digest)
        if self.fails is not None and self.fails(cell):
            raise ValueError("this cell cannot be computed")
        value = min(
            1.0, max(0.0, quality(cast("PromptADConfig", cell.config)) - DIFFICULTY[cell.category] + 0.003 * cell.seed)
        )
        other = {"image": "image_aupr", "pixel": "pro"}[cell.task]
        row = Row(
            cell=cell,
            status="ok",
            scores={f"{cell.task}_auroc": value, other: value / 2},
            seconds={"features": 0.25, "fit": 1.0, "total": 1.0},
        )
        return Outcome(row=row, examples=None)


def run_search(
    plan: SearchPlan, folder: Path, *, trials: int | None = None, bench: Any = None, timeout: float | None = None
) -> tuple[Search, Any]:
    """Run a search serially; returns it and its bench."""
    bench = bench or ScoredBench()
    ledger = Ledger(str(folder))
    found = Search(plan, ledger, SearchLog(ledger.folder, plan.id), trials=trials or plan.request.trials)
    search_serially(bench, ledger, found, Listeners(on_finished=lambda _: None), timeout=timeout)
    return found, bench


def stored(plan: SearchPlan, folder: Path) -> tuple[set[str], dict[int, dict[str, Any]]]:
    """Rows' digests and every record of a search."""
    ledger = Ledger(str(folder))
    records = SearchLog(ledger.folder, plan.id).records()
    return set(ledger.rows()), {number: dataclasses.asdict(record) for number, record in records.items()}
