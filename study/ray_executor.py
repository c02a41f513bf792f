"""Running groups as Ray Tune trials: on this machine, or wherever the cluster has room.

The ledger is the truth, Tune only schedules: a trial is a group of cells, its process and loaded backbone stay for the
next group. Rows go to an actor beside the driver, which writes them, so that workers need no shared disk.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from promptad.cache import FeatureCache
from study.cell import Cell
from study.dispatch import Dispatcher, Finished, begin_group, run_next
from study.ledger import Ledger
from study.plan import Group
from study.workbench import Outcome, Workbench, pick_device

WORKER_DEATHS = 8
"""How often a trial is restarted after its process died; the dispatcher gives up on single cells long before."""


GPU_SHARE = 0.25
"""Share of a GPU that a trial gets where there are GPUs and the user asks for no other share."""


class ResourceError(ValueError):
    """A trial that asks for more than the cluster has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResources:
    """What one trial gets: CPUs (also its torch threads) and a share of a GPU."""

    cpus: int
    gpus: float


def run_on_ray(
    ledger: Ledger,
    groups: Sequence[Group],
    *,
    cpus: int,
    gpus: float | None,
    cache_root: Path,
    cache_cap: int,
    on_finished: Callable[[Finished], None],
    trial: type[GroupTrial] | None = None,
) -> list[Cell]:
    """Run every cell of ``groups`` on the connected cluster; returns those without a row, whose workers kept dying.

    ``cpus`` and ``gpus`` are per trial; ``gpus`` None: a quarter of a GPU if the cluster has any, else none.
    ``trial`` stands in for ``GroupTrial`` (benchmarks).

    Raises:
        ResourceError: no trial would ever fit the cluster.
    """
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    # Tune's own handler would swallow Ctrl-C and return as if all were done.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    if gpus is None:
        gpus = GPU_SHARE if ray.cluster_resources().get("GPU", 0) > 0 else 0.0
    resources = TrialResources(cpus=cpus, gpus=gpus)
    _check(resources)
    beside_driver = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    dispatcher = (
        ray.remote(Dispatcher).options(num_cpus=0, scheduling_strategy=beside_driver).remote(ledger, list(groups))
    )
    with tempfile.TemporaryDirectory(prefix="promptad-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(
                    trial or GroupTrial,
                    groups=list(groups),
                    dispatcher=dispatcher,
                    resources=resources,
                    cache=(str(cache_root), cache_cap),
                ),
                {"cpu": resources.cpus, "gpu": resources.gpus},
            ),
            param_space={"group": tune.grid_search(list(range(len(groups))))},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(
                name="study",
                storage_path=scratch,
                verbose=0,
                callbacks=[_Relay(on_finished)],
                failure_config=tune.FailureConfig(max_failures=WORKER_DEATHS),
            ),
        )
        tuner.fit()
    unfinished: list[Cell] = ray.get(dispatcher.unfinished.remote())
    ray.kill(dispatcher)
    return unfinished


def _check(resources: TrialResources) -> None:
    """Find out now what Tune would wait for forever."""
    available = ray.cluster_resources()
    for kind, option, wanted in (("CPU", "cpus", resources.cpus), ("GPU", "gpus", resources.gpus)):
        if wanted > available.get(kind, 0):
            raise ResourceError(
                f"a trial must fit the cluster, but --{option}-per-trial {wanted:g} is more than its "
                f"{available.get(kind, 0):g} {kind}s: ask for less, or add nodes"
            )


class GroupTrial(tune.Trainable):  # type: ignore[misc]
    """One group of cells; each step is one cell."""

    bench: type[Workbench] = Workbench

    def setup(
        self,
        config: dict[str, Any],
        groups: list[Group],
        dispatcher: Any,
        resources: TrialResources,
        cache: tuple[str, int],
    ) -> None:
        """Open the workbench, which outlives this group, and prepare the first group."""
        self._groups, self._source = groups, _RemoteSource(dispatcher)
        self._news: list[Finished] = []
        feature_cache = FeatureCache(Path(cache[0]), cap=cache[1])
        self._bench = self.bench(cache=feature_cache, device=pick_device(resources.gpus), threads=resources.cpus)
        self._start(config["group"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next group in the same process."""
        self._start(new_config["group"])
        return True

    def step(self) -> dict[str, Any]:
        """Run the next cell of the group."""
        more, finished = run_next(self._bench, self._source, self._group)
        news, self._news = self._news + ([] if finished is None else [finished]), []
        return {"done": not more, "finished": [dataclasses.asdict(each) for each in news]}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: what matters is in the ledger."""

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing: what matters is in the ledger."""

    def _start(self, group: int) -> None:
        self._group = group
        self._news = begin_group(self._bench, self._source, group, self._groups[group])


class _RemoteSource:
    """The dispatcher as seen from a worker."""

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher

    def next(self, group: int) -> Cell | None:
        cell: Cell | None = ray.get(self._dispatcher.next.remote(group))
        return cell

    def accept(self, outcome: Outcome) -> Finished:
        finished: Finished = ray.get(self._dispatcher.accept.remote(outcome))
        return finished

    def fail(self, group: int, digest: str, reason: str) -> Finished | None:
        finished: Finished | None = ray.get(self._dispatcher.fail.remote(group, digest, reason))
        return finished

    def fail_group(self, group: int, reason: str) -> list[Finished]:
        finished: list[Finished] = ray.get(self._dispatcher.fail_group.remote(group, reason))
        return finished


class _Relay(tune.Callback):  # type: ignore[misc]
    """Passes each finished cell on to whoever shows progress."""

    def __init__(self, on_finished: Callable[[Finished], None]) -> None:
        self._on_finished = on_finished

    def on_trial_result(self, *_: Any, result: dict[str, Any], **__: Any) -> None:
        for finished in result.get("finished", ()):
            self._on_finished(Finished(**finished))
