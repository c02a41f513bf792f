"""Runs groups as Ray Tune trials: on this machine, or wherever the cluster has room.

The ledger is the truth, Tune only schedules: a trial is a group of cells, its process and loaded backbone stay for the
next group. Rows go to an actor beside the driver, which writes them, so that workers need no shared disk. What passes
between processes is cells, rows and file names; features stay in the cache of the node that made them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import ray
from ray import tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from promptad.user_error import UserError
from study.cluster import nodes
from study.cluster.connection import ClusterError
from study.cluster.dispatcher_process import RestartableDispatcher
from study.cluster.fit_nodes import Muster
from study.cluster.group_trial import GroupTrial, TrialResources, TrialSetup, cause_of
from study.cluster.nodes import Node
from study.cluster.readiness import Needs, ReadinessError, needs_of
from study.records.folder import LedgerError
from study.records.group import Group
from study.records.ledger import Ledger
from study.records.pulse import NodeUse, Pulse
from study.records.segment import RowState
from study.running.execution_options import CacheSettings, ExecutionOptions, Listeners
from study.running.rounds import Round, Rounds, spread
from study.running.row_desk import Assignment, Finished, finished_with
from study.running.worker import check_precision

WORKER_DEATHS = 8
"""How often Tune restarts a trial in a round; the next round receives what is left then."""

GPU_SHARE = 0.25
"""Share of a GPU of a trial, where there are GPUs and the user names no other share."""

NEWS_SECONDS = 0.25
"""How often the executor asks which rows are durable."""

PULSE_SECONDS = 5.0
"""Seconds between two checks of the workers, each with a progress report."""

KILL_GRACE = 15.0
"""Seconds after its time limit at which a worker that did not end itself is killed."""


class ResourceError(UserError):
    """A trial that needs more than the cluster has."""


def run_on_ray(
    ledger: Ledger,
    groups: Sequence[Group],
    options: ExecutionOptions,
    listeners: Listeners,
    *,
    trial: type[GroupTrial] | None = None,
) -> None:
    """Run every cell of ``groups`` on the connected cluster; when this returns each has a row.

    The root of the cache must be absolute: workers have another current folder. ``trial`` stands in for ``GroupTrial``
    (benchmarks and tests).

    Raises:
        ResourceError: no trial would ever fit the cluster.
        ReadinessError: nodes lack data or weights, and the run needs them.
        LedgerError: the study folder cannot be written.
        ClusterError: the cluster lost the actor that receives the rows.
    """
    prepare_tune()
    execution = Execution.planned(ledger, needs_of(groups), options, listeners)
    check_precision((cell.config for group in groups for cell in group.cells), on_cpu=execution.resources.gpus <= 0)
    if notice := idle_nodes(execution.resources, execution.muster.usable()):
        listeners.on_notice(notice)
    rounds = Rounds(groups)
    try:
        while (current := rounds.next()) is not None:
            execution.run(current, rounds, trial or GroupTrial)
    except ray.exceptions.RayActorError as error:
        raise lost_dispatcher(error) from error


def trial_resources(options: ExecutionOptions) -> TrialResources:
    """Resources of a trial; ``gpus`` None: a quarter of a GPU if the cluster has any, else none."""
    cpus, gpus = options.cpus, options.gpus
    if gpus is None:
        gpus = GPU_SHARE if ray.cluster_resources().get("GPU", 0) > 0 else 0.0
    return TrialResources(cpus=cpus, gpus=gpus, threads=cpus, company=options.company)


def idle_nodes(resources: TrialResources, usable: Sequence[Node]) -> str | None:
    """What a user should know of nodes that no trial can use: where trials ask for a GPU, those that have none."""
    idle = [node.name for node in usable if resources.gpus > 0 and node.gpus < resources.gpus]
    if not idle:
        return None
    return (
        f"without work: node {', '.join(idle)}: trials ask for {resources.gpus:g} of a GPU, since a processor rounds "
        "otherwise than a card (--gpus-per-trial 0 runs all of them on CPUs)"
    )


def lost_dispatcher(error: ray.exceptions.RayActorError) -> ClusterError:
    """The error for a user when the actor that receives rows is gone."""
    reason = str(error).splitlines()[0]
    return ClusterError(
        "the process beside this one that takes in rows was lost with a part of the cluster: finished cells are "
        f"safe; see that the cluster is up (ray status), then run the same command again ({reason})"
    )


def prepare_tune() -> None:
    """Stop Tune from printing and from handling Ctrl-C."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    # Tune's own handler would catch Ctrl-C and return as if all were done.
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    # It prints a traceback for each dead worker; a failed cell's row has the reason.
    logging.getLogger("ray.tune.execution.tune_controller").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """All that the rounds of a study share."""

    ledger: Ledger
    resources: TrialResources
    cache: CacheSettings
    limit: float | None
    muster: Muster
    listeners: Listeners

    @classmethod
    def planned(cls, ledger: Ledger, needs: Needs, options: ExecutionOptions, listeners: Listeners) -> Self:
        """The execution of a user's options on the connected cluster; ``needs`` is what a node must have."""
        return cls(
            ledger=ledger,
            resources=trial_resources(options),
            cache=options.cache,
            limit=options.cell_timeout,
            muster=Muster(needs, options.require_data, listeners.on_notice),
            listeners=listeners,
        )

    def setup(self, dispatcher: Any, resources: TrialResources) -> TrialSetup:
        """The setup of every worker; ``dispatcher`` is the actor that hands out cells."""
        return TrialSetup(
            dispatcher=dispatcher,
            resources=resources,
            cache=self.cache,
            limit=self.limit,
            needs=self.muster.needs,
            fit=frozenset(self.muster.fit),
        )

    def run(self, current: Round, rounds: Rounds, trial: type[GroupTrial]) -> None:
        """Run one round, and pass what it leaves to ``rounds``."""
        usable = self.muster.usable()
        # Nodes leave, and nodes turn out to be unfit: Tune would wait forever for room that nobody has any more.
        check_resources(self.resources, usable)
        resources = _whole_device(self.resources, usable) if current.alone else self.resources
        beside_driver = NodeAffinitySchedulingStrategy(nodes.own_node(), soft=False)
        # It can rebuild its state from the ledger, so Ray may restart it when its process is killed.
        options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": beside_driver}
        groups = ray.put(list(current.groups))
        dispatcher = (
            ray.remote(RestartableDispatcher)
            .options(**options)
            .remote(
                self.ledger,
                ray.cloudpickle.dumps(groups),
                earlier=current.earlier,
                limit=self.limit,
                mixed=resources.gpus > 0,
            )
        )
        overseer = Overseer(dispatcher, self, resources)
        overseer.pulse([])
        digests = [cell.digest for group in current.groups for cell in group.cells]
        before = self.ledger.sound_states(digests)
        try:
            order = spread(current.groups, room(resources, usable))
            trouble = self._fit(order, self.setup(dispatcher, resources), overseer, trial)
        except BaseException:
            # What is finished is kept, also by Ctrl-C; where it cannot be, the first error says more.
            with contextlib.suppress(Exception):
                ray.get(dispatcher.flush.remote(), timeout=PULSE_SECONDS)
            raise
        end = ray.get(dispatcher.end.remote())
        ray.kill(dispatcher)
        overseer.tell(end.finished)
        self._tell_missed(digests, before, overseer)
        lost = nodes.gone({aside.worker.node for aside in end.aside if aside.worker})
        lost |= {node.identity for node in usable} - {node.identity for node in nodes.known_nodes() if node.alive}
        for row in rounds.end(end, lost_nodes=lost, trouble=trouble):
            self.ledger.append([row])
            self.listeners.on_finished(finished_with(row))

    def _tell_missed(self, digests: Sequence[str], before: Mapping[str, RowState], overseer: Overseer) -> None:
        """Pass on the rows that a dispatcher wrote and did not tell of, because its process was killed."""
        after = self.ledger.states()
        missed = [
            digest
            for digest in digests
            if digest in after and after[digest] != before.get(digest) and digest not in overseer.told
        ]
        overseer.tell(finished_with(row) for row in self.ledger.rows(missed).values())

    def _fit(self, order: Sequence[int], shared: TrialSetup, overseer: Overseer, trial: type[GroupTrial]) -> str | None:
        """Run the groups on Tune in this order; returns the message of a trial that ended with an error."""
        resources = shared.resources
        bundles, where = nodes.placement(
            {"CPU": resources.cpus, "GPU": resources.gpus}, without=self.muster.unfit.keys()
        )
        with tempfile.TemporaryDirectory(prefix="promptad-tune-") as scratch:
            tuner = tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(trial, shared=shared),
                    tune.PlacementGroupFactory(bundles, **where),
                ),
                param_space={"group": tune.grid_search(list(order))},
                tune_config=tune.TuneConfig(reuse_actors=True),
                run_config=tune.RunConfig(
                    name="study",
                    storage_path=scratch,
                    verbose=0,
                    callbacks=[overseer],
                    failure_config=tune.FailureConfig(max_failures=WORKER_DEATHS),
                ),
            )
            errors = tuner.fit().errors
        return str(errors[-1]).strip().splitlines()[-1] if errors else None


def _whole_device(resources: TrialResources, usable: Sequence[Node]) -> TrialResources:
    """A whole GPU where trials use GPUs, else all CPUs of the largest node. Threads, and so scores, stay the same."""
    if resources.gpus > 0:
        return dataclasses.replace(resources, gpus=max(1.0, resources.gpus))
    return dataclasses.replace(resources, cpus=max(resources.cpus, int(max(node.cpus for node in usable))))


def room(resources: TrialResources, usable: Sequence[Node]) -> int:
    """How many trials the nodes can run at the same time, at least one."""
    places = 0
    for node in usable:
        shares = [
            # A tenth of a card, ten times over, is not quite a card in binary.
            math.floor(there / wanted + 1e-6)
            for there, wanted in ((node.cpus, resources.cpus), (node.gpus, resources.gpus))
            if wanted > 0
        ]
        places += min(shares, default=0)
    return max(1, places)


def check_resources(resources: TrialResources, usable: Sequence[Node]) -> None:
    """Raise ``ResourceError`` for a request that Tune would wait for forever."""
    largest = {"CPU": max(node.cpus for node in usable), "GPU": max(node.gpus for node in usable)}
    for kind, option, wanted in (("CPU", "cpus", resources.cpus), ("GPU", "gpus", resources.gpus)):
        if wanted > largest[kind]:
            raise ResourceError(
                f"a trial must fit the cluster, but --{option}-per-trial {wanted:g} is more than the "
                f"{largest[kind]:g} {kind}s of its largest node: ask for less, or add nodes"
            )
    # One node must have both: the largest of each kind may be two.
    if not any(node.cpus >= resources.cpus and node.gpus >= resources.gpus for node in usable):
        raise ResourceError(
            f"a trial must fit one node, but none has {resources.cpus} CPUs and {resources.gpus:g} of a GPU together: "
            "ask for less with --cpus-per-trial or --gpus-per-trial, or add nodes"
        )


class Overseer(tune.Callback):  # type: ignore[misc]
    """Runs beside Tune's loop: passes on finished cells, ends hung workers, reports progress, stops broken runs."""

    def __init__(self, dispatcher: Any, execution: Execution, resources: TrialResources) -> None:
        self._dispatcher, self._execution, self._resources = dispatcher, execution, resources
        self._broken: Exception | None = None
        self._last = self._last_news = time.monotonic()
        self.told: set[str] = set()

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        """Tune saves nothing of it: the ledger is the truth, and a driver's locks cannot be pickled."""
        return tune.Callback, ()

    def on_trial_result(self, *_: object, result: dict[str, Any], **__: object) -> None:
        """Process a step's result. Errors wait for the next step: raised here, Tune would count them as the trial's."""
        try:
            if "unfit" in result:
                self._execution.muster.refuse(*result["unfit"])
        except ReadinessError as error:
            self._broken = error
        if "broken" in result:
            self._broken = LedgerError(result["broken"])

    def stop_with(self, error: Exception) -> None:
        """Raise an error at the next step, where Tune does not count it as a trial's."""
        self._broken = error

    def tell(self, finished: Iterable[Finished]) -> None:
        """Pass on cells whose rows are durable, each once."""
        for each in finished:
            if each.digest not in self.told:
                self.told.add(each.digest)
                self._execution.listeners.on_finished(each)

    def on_step_begin(self, *_: object, **__: object) -> None:
        """Raise what stops the study; pass on what is finished; every few seconds look after the workers."""
        if self._broken is not None:
            raise self._broken
        now = time.monotonic()
        try:
            if now - self._last_news >= NEWS_SECONDS:
                self._last_news = now
                self.tell(ray.get(self._dispatcher.news.remote(), timeout=PULSE_SECONDS))
            if now - self._last < PULSE_SECONDS:
                return
            self._last = now
            at_work: list[Assignment] = ray.get(self._dispatcher.at_work.remote(), timeout=PULSE_SECONDS)
        except (ray.exceptions.GetTimeoutError, ray.exceptions.ActorUnavailableError):
            # Ray restarts it.
            return
        except LedgerError as error:
            raise LedgerError(cause_of(error)) from error
        limit = self._execution.limit
        for assignment in at_work:
            # Cells that learn together may take what each of them may take, as may categories.
            if limit is not None and assignment.seconds > limit * assignment.allowance + KILL_GRACE:
                nodes.end_process(assignment.worker.node, assignment.worker.process)
        self.pulse(at_work)

    def pulse(self, at_work: Sequence[Assignment]) -> None:
        """Report the running cells, and how much of each node they use."""
        if (on_pulse := self._execution.listeners.on_pulse) is None:
            return
        counts = [assignment.worker.node for assignment in at_work]
        use = tuple(
            NodeUse(
                name=node.name,
                alive=node.alive,
                cpus=node.cpus,
                cpus_used=float(counts.count(node.identity) * self._resources.cpus),
                gpus=node.gpus,
                gpus_used=counts.count(node.identity) * self._resources.gpus,
                reason=self._execution.muster.unfit.get(node.identity),
            )
            for node in nodes.known_nodes()
        )
        running = tuple(assignment.running() for assignment in at_work if assignment.cell is not None)
        on_pulse(Pulse(running=running, nodes=use))
