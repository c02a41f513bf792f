"""The driver's look after its workers: one that cannot end itself is ended, and none before its time."""

from types import SimpleNamespace

import pytest
from helpers.cells import make_cell

from promptad.configs.promptad_config import PromptADConfig
from study.cluster import executor
from study.cluster.executor import KILL_GRACE, Overseer
from study.records.cell import PoolMember
from study.running.execution_options import Listeners
from study.running.row_desk import Assignment, Worker

POOL = tuple(PoolMember(category=name, data=name) for name in ("disc", "plate", "tile"))
POOLED = make_cell(config=PromptADConfig(setting="multi_class"), pool=POOL)


@pytest.mark.parametrize(
    ("cells", "allowed"),
    [
        ((), 60.0),
        ((make_cell(),), 60.0),
        (tuple(make_cell(seed=seed) for seed in range(16)), 16 * 60.0),
        ((POOLED,), 3 * 60.0),
    ],
)
def test_cells_that_learn_together_may_take_what_each_of_them_may_take(cells, allowed, monkeypatch):
    ended, now = [], [1000.0]
    monkeypatch.setattr("study.running.row_desk.time.monotonic", lambda: now[0])
    monkeypatch.setattr(executor.nodes, "end_process", lambda node, process: ended.append((node, process)))
    monkeypatch.setattr(executor.ray, "get", lambda answer, timeout: answer)  # noqa: ARG005
    worker = Worker(node="n", name="here", process=7)
    assignment = Assignment.now(worker, cells)
    answers = {"news": [], "at_work": [assignment]}
    dispatcher = SimpleNamespace(
        **{name: SimpleNamespace(remote=lambda answer=answer: answer) for name, answer in answers.items()}
    )
    execution = SimpleNamespace(limit=60.0, listeners=Listeners(on_finished=print))
    overseer = Overseer(dispatcher, execution, SimpleNamespace(cpus=1, gpus=0.0))

    def look():
        overseer._last = overseer._last_news = -1e9
        overseer.on_step_begin()

    now[0] += allowed + KILL_GRACE - 1
    look()
    assert ended == []
    now[0] += 2
    look()
    assert ended == [("n", 7)]
