"""The dispatcher as an actor in a process of its own, which loads neither torch nor Tune: it begins in a second."""

from __future__ import annotations

from typing import Any

import ray

from study.records.ledger import Ledger
from study.running.dispatcher import Dispatcher


class RestartableDispatcher(Dispatcher):
    """A dispatcher that reloads its groups whenever its process begins.

    ``reference`` is a pickled reference to them: Ray keeps its target as long as the driver lives, but releases an
    actor's arguments once the actor has started.
    """

    def __init__(self, ledger: Ledger, reference: bytes, **options: Any) -> None:
        super().__init__(ledger, ray.get(ray.cloudpickle.loads(reference)), **options)
