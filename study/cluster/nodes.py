"""The machines of a Ray cluster: present, gone, or without data; and how to end a process that hangs."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.cluster.readiness import Needs, lacks

NODE_ID_LABEL = "ray.io/node-id"
"""Ray's own label of every node; a trial excludes nodes by it."""

ANSWER_SECONDS = 30.0
"""Seconds within which a node must run an empty task; otherwise it counts as gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine that Ray knows: its identity, a name that people recognise, and its resources."""

    identity: str
    name: str
    alive: bool
    cpus: float
    gpus: float


def known_nodes() -> list[Node]:
    """Every node of the cluster, including those that left."""
    raw = ray.nodes()
    plain = {node["NodeID"]: _plain_name(node["NodeManagerHostname"], node["NodeManagerAddress"]) for node in raw}
    shared = Counter(plain.values())
    return [
        Node(
            identity=node["NodeID"],
            name=plain[node["NodeID"]] + (f" node {node['NodeID'][:6]}" if shared[plain[node["NodeID"]]] > 1 else ""),
            alive=node["Alive"],
            cpus=float(node["Resources"].get("CPU", 0)),
            gpus=float(node["Resources"].get("GPU", 0)),
        )
        for node in raw
    ]


def own_node() -> str:
    """Identity of the node that this process runs on."""
    return str(ray.get_runtime_context().get_node_id())


def lacking(nodes: Sequence[Node], needs: Needs) -> dict[str, list[str]]:
    """What each node lacks, by its identity; empty where nothing is missing. All nodes check at the same time.

    A node that leaves meanwhile lacks nothing: no work will go there.
    """
    stored = ray.put(needs)
    answers = {node.identity: _lacks.options(scheduling_strategy=_only(node.identity)).remote(stored) for node in nodes}
    found = {}
    for identity, answer in answers.items():
        try:
            found[identity] = ray.get(answer)
        except ray.exceptions.RayTaskError as error:
            found[identity] = [f"it cannot run this project: {error.cause!r}"]
        except ray.exceptions.RayError:
            found[identity] = []
    return found


def gone(identities: Collection[str]) -> set[str]:
    """Those nodes that left the cluster, or no longer answer."""
    alive = {node.identity for node in known_nodes() if node.alive}
    pending = {
        _answer.options(scheduling_strategy=_only(identity)).remote(): identity
        for identity in set(identities) & alive - {own_node()}
    }
    lost = set(identities) - alive
    ready, silent = ray.wait(list(pending), num_returns=len(pending), timeout=ANSWER_SECONDS) if pending else ([], [])
    lost |= {pending[answer] for answer in silent}
    for answer in ready:
        try:
            ray.get(answer)
        except ray.exceptions.RayError:
            lost.add(pending[answer])
    return lost


def end_process(node: str, process: int) -> None:
    """Kill a worker process that does not react, on any node; returns at once."""
    _kill.options(scheduling_strategy=_only(node)).remote(process)


def placement(
    resources: Mapping[str, float], without: Collection[str]
) -> tuple[list[dict[str, float]], dict[str, object]]:
    """Bundles and keywords of a placement group on any node except those in ``without``."""
    bundle = {kind: amount for kind, amount in resources.items() if amount}
    if not without:
        return [bundle], {}
    return [bundle], {"bundle_label_selector": [{NODE_ID_LABEL: f"!in({','.join(sorted(without))})"}]}


def _plain_name(hostname: str, address: str) -> str:
    return hostname if hostname == address else f"{hostname} ({address})"


def _only(identity: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(identity, soft=False)


@ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
def _answer() -> None:
    """Show that the node runs tasks."""


@ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
def _lacks(needs: Needs) -> list[str]:
    return lacks(needs)


@ray.remote(num_cpus=0, max_retries=0)  # type: ignore[untyped-decorator]
def _kill(process: int) -> None:
    try:
        is_worker = b"ray::" in Path(f"/proc/{process}/cmdline").read_bytes()
    except FileNotFoundError:
        return
    if is_worker:
        os.kill(process, signal.SIGKILL)
