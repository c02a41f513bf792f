"""A search on Ray: Tune schedules its trials, OptunaSearch requests them from Optuna as workers become free.

`study.search.engine` decides from rows what Optuna receives. The state of Tune and OptunaSearch is discarded.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.cluster import nodes
from study.cluster.executor import (
    WORKER_DEATHS,
    Execution,
    Overseer,
    check_resources,
    lost_dispatcher,
    prepare_tune,
)
from study.cluster.fit_nodes import Muster
from study.cluster.group_trial import TrialResources
from study.cluster.readiness import Needs, needs_of
from study.records.ledger import Ledger
from study.running.execution_options import ExecutionOptions, Listeners
from study.running.worker import check_precision
from study.search.engine import Search
from study.search.ray_trial import SearchTrial
from study.search.search_plan import grouped
from study.search.trial_dispatcher import TrialDispatcher


def search_on_ray(
    ledger: Ledger,
    search: Search,
    options: ExecutionOptions,
    listeners: Listeners,
    *,
    timeout: float | None = None,
    trial: type[SearchTrial] | None = None,
) -> None:
    """Run trials on the connected cluster up to the requested number, or for ``timeout`` seconds.

    The other arguments and the errors are those of ``run_on_ray``.
    """
    if search.full:
        return
    prepare_tune()
    # The objective's metrics are computed from rows; results of a worker do not hold them.
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"
    execution = Execution.planned(ledger, _needs(search), options, listeners)
    resources, muster = execution.resources, execution.muster
    check_precision([search.plan.request.study.base], on_cpu=resources.gpus <= 0)
    check_resources(resources, muster.usable())

    def slots() -> int:
        return max(1, _slots(resources, muster))

    # Tune starts one worker after the other for a searcher. One that starts more slowly than a trial runs would never
    # come: the trial that it is meant for goes to a process that is there.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots())
    beside_driver = NodeAffinitySchedulingStrategy(nodes.own_node(), soft=False)
    dispatcher = (
        ray.remote(TrialDispatcher)
        .options(num_cpus=0, scheduling_strategy=beside_driver)
        .remote(ledger, limit=execution.limit)
    )
    overseer = _SearchOverseer(dispatcher, execution, resources)
    overseer.pulse([])
    bundles, where = nodes.placement({"CPU": resources.cpus, "GPU": resources.gpus}, without=muster.unfit.keys())
    try:
        with tempfile.TemporaryDirectory(prefix="promptad-tune-") as scratch:
            tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(
                        trial or SearchTrial,
                        shared=execution.setup(dispatcher, resources),
                        categories=search.plan.categories,
                        tasks=search.plan.request.tasks,
                    ),
                    tune.PlacementGroupFactory(bundles, **where),
                ),
                tune_config=tune.TuneConfig(
                    search_alg=LedgerSearch(search, dispatcher, slots),
                    num_samples=-1,
                    reuse_actors=True,
                    time_budget_s=timeout,
                ),
                run_config=tune.RunConfig(
                    name="search",
                    storage_path=scratch,
                    verbose=0,
                    stop=TrialEnds(search, overseer),
                    callbacks=[overseer],
                    failure_config=tune.FailureConfig(max_failures=WORKER_DEATHS),
                ),
            ).fit()
        overseer.tell(ray.get(dispatcher.news.remote()))
    except ray.exceptions.RayActorError as error:
        raise lost_dispatcher(error) from error
    ray.kill(dispatcher)


class LedgerSearch(OptunaSearch):  # type: ignore[misc]
    """OptunaSearch over a study rebuilt from the ledger; trials whose rows exist end before Tune receives them.

    It keeps one trial more than fits waiting for a worker, so that no worker is idle and processes are reused.
    """

    def __init__(self, search: Search, dispatcher: Any, slots: Callable[[], int]) -> None:
        metrics, modes = list(search.plan.objective.metrics), ["max", "min"]
        directions = [modes[direction == "minimize"] for direction in search.plan.objective.directions]
        super().__init__(
            space=search.propose,
            metric=metrics if len(metrics) > 1 else metrics[0],
            mode=directions if len(metrics) > 1 else directions[0],
            sampler=search.sampler,
            study_name=search.plan.id,
            storage=search.storage,
        )
        self._search, self._dispatcher, self._slots = search, dispatcher, slots
        self._numbers: dict[str, int] = {}

    def __reduce__(self) -> tuple[type[OptunaSearch], tuple[()]]:
        """Tune saves nothing of it."""
        return OptunaSearch, ()

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the ledger has everything."""

    def suggest(self, trial_id: str) -> Any:
        """The next trial that has a cell to run; None while as many as fit run, and one more waits."""
        if not self._search.full and len(self._search.running) > self._slots():
            return None
        while not self._search.full:
            if (earlier := self._search.take_open()) is not None:
                self._ot_trials[trial_id] = earlier
            super().suggest(trial_id)
            running = self._search.begin(self._ot_trials.pop(trial_id))
            if running is not None:
                ray.get(self._dispatcher.open.remote(running.number, running.cells))
                self._numbers[trial_id] = running.number
                return {"number": running.number}
        return Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: `TrialEnds` processes a cell's result."""

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:  # noqa: ARG002
        """End a trial whose workers failed repeatedly; one that ran out of time is left for the next run."""
        if error:
            self._search.fail(
                self._numbers[trial_id], f"its worker could not begin or died {WORKER_DEATHS + 1} times: see Ray's logs"
            )


class TrialEnds(tune.Stopper):  # type: ignore[misc]
    """Processes the row of each cell, and stops a trial that is complete, failed, or worse than the best one."""

    def __init__(self, search: Search, overseer: Overseer) -> None:
        self._search, self._overseer = search, overseer

    def __reduce__(self) -> tuple[type[tune.stopper.NoopStopper], tuple[()]]:
        """Tune saves nothing of it."""
        return tune.stopper.NoopStopper, ()

    def __call__(self, _: str, result: dict[str, Any]) -> bool:
        """Whether the trial ends now."""
        if not result.get("finished") and not result["done"]:
            return False
        try:
            ended = self._search.ran(result["number"], result.get("cell"))
            if result["done"] and not ended and "broken" not in result:
                self._search.fail(result["number"], "none of its cells could be run")
        except Exception as error:
            self._overseer.stop_with(error)
            return False
        return ended

    def stop_all(self) -> bool:
        """Never: the searcher ends the search."""
        return False


class _SearchOverseer(Overseer):
    """Also releases a cell whose worker died, so that no other trial waits for it."""

    def on_trial_recover(self, *_: object, trial: Any, **__: object) -> None:
        """A trial's worker died; Tune restarts it."""
        self._dispatcher.lost.remote(trial.config["number"])

    def on_trial_error(self, *_: object, trial: Any, **__: object) -> None:
        """A trial's worker died for the last time."""
        self._dispatcher.lost.remote(trial.config["number"])


def _slots(resources: TrialResources, muster: Muster) -> int:
    """How many trials fit the nodes that may work now."""
    return sum(
        int(min([node.cpus / resources.cpus, *([node.gpus / resources.gpus] if resources.gpus else [])]))
        for node in nodes.known_nodes()
        if node.alive and node.identity not in muster.unfit
    )


def _needs(search: Search) -> Needs:
    """The needs of all trials: the data, and the weights of every backbone that a trial may have."""
    needs = needs_of(grouped(search.plan.cells({}), search.plan.categories))
    weights = {text: backbone.weights for text, backbone in search.plan.backbones.items()}
    return dataclasses.replace(needs, backbones=weights)
