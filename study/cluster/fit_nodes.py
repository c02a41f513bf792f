"""The nodes of a cluster that may work: those that have the data and the weights."""

from __future__ import annotations

from collections.abc import Callable

from study.cluster import nodes
from study.cluster.nodes import Node
from study.cluster.readiness import Needs, ReadinessError
from study.running.execution_options import RequireData


class Muster:
    """The nodes that may work: those that have what the cells need. Each is checked once."""

    def __init__(self, needs: Needs, require: RequireData, on_notice: Callable[[str], None]) -> None:
        self.needs = needs
        self._require, self._on_notice = require, on_notice
        # The plan has just read every file on this machine.
        self.fit = {nodes.own_node()}
        self.unfit: dict[str, str] = {}

    def usable(self) -> list[Node]:
        """The nodes that may work now.

        Raises:
            ReadinessError: none is left, or one lacks something and all are required.
        """
        alive = [node for node in nodes.known_nodes() if node.alive]
        new = [node for node in alive if node.identity not in self.fit and node.identity not in self.unfit]
        for identity, problems in nodes.lacking(new, self.needs).items() if new else ():
            if problems:
                self.refuse(identity, "; ".join(problems))
            else:
                self.fit.add(identity)
        usable = [node for node in alive if node.identity not in self.unfit]
        if self.unfit and not any(node.cpus > 0 for node in usable):
            raise ReadinessError(f"no node of the cluster can run the cells:\n{self._listed()}")
        return usable

    def refuse(self, identity: str, problem: str) -> None:
        """Leave a node out, or stop if all are required."""
        if identity in self.unfit:
            return
        self.fit.discard(identity)
        self.unfit[identity] = problem
        name = {node.identity: node.name for node in nodes.known_nodes()}.get(identity, identity)
        if self._require == "all":
            raise ReadinessError(
                f"every node must have the data and weights (--require-data all), but on {name}: {problem}. "
                "Copy them there under the same path, or leave such nodes out with --require-data any"
            )
        self._on_notice(f"left out: node {name}: {problem}")

    def _listed(self) -> str:
        names = {node.identity: node.name for node in nodes.known_nodes()}
        return "\n".join(f"- {names.get(identity, identity)}: {why}" for identity, why in self.unfit.items())
