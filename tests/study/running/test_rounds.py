import pytest
from helpers.cells import make_cell

from promptad.configs.promptad_config import PromptADConfig
from promptad.datasets import Category
from study.records.cell import PoolMember
from study.records.failure import Failure
from study.records.group import Group
from study.running.dispatcher import RoundEnd, SetAside
from study.running.rounds import BARREN_ROUNDS, NODE_LOSSES, Rounds, spread
from study.running.row_desk import Worker

CELLS = tuple(make_cell(seed=seed) for seed in range(4))
GROUPS = [
    Group(categories=(Category(name=name, train=(), test=(), has_masks=True),), cells=cells)
    for name, cells in (("plate", CELLS[:2]), ("disc", CELLS[2:]))
]
WORKER = Worker(node="n1", name="left", process=7)
DEATH = Failure(kind="death", reason="the worker process died")
TIMEOUT = Failure(kind="timeout", reason="it took longer than --cell-timeout")


def end(*aside, waiting=(), stored=1):
    return RoundEnd(aside=aside, waiting=waiting, stored=stored, finished=())


def aside(cell, failure=DEATH, worker=WORKER):
    return SetAside(cell=cell, failure=failure, worker=worker)


def cells_of(current):
    return [group.cells for group in current.groups]


def test_all_cells_first_and_then_none():
    rounds = Rounds(GROUPS)
    first = rounds.next()
    assert (first.groups, first.alone) == (tuple(GROUPS), False)
    assert rounds.end(end(stored=4), lost_nodes=()) == []
    assert rounds.next() is None


def test_cells_set_aside_run_alone_in_groups_of_one_after_what_is_left():
    rounds = Rounds(GROUPS)
    rounds.next()
    rounds.end(end(aside(CELLS[2]), aside(CELLS[0]), waiting=(CELLS[1],)), lost_nodes=())
    second = rounds.next()
    assert (cells_of(second), second.alone) == ([(CELLS[1],)], False)
    rounds.end(end(), lost_nodes=())
    alone = rounds.next()
    assert alone.alone
    assert [(group.categories[0].name, group.cells) for group in alone.groups] == [
        ("disc", (CELLS[2],)),
        ("plate", (CELLS[0],)),
    ]
    assert alone.earlier[CELLS[0].digest] == "the worker process died"


def test_a_second_failure_is_the_last_and_its_row_tells_both():
    rounds = Rounds(GROUPS)
    rounds.next()
    rounds.end(end(aside(CELLS[0])), lost_nodes=())
    rounds.next()
    [row] = rounds.end(end(aside(CELLS[0], TIMEOUT), stored=0), lost_nodes=())
    assert row.status == "failed"
    assert row.reason.startswith("it took longer than --cell-timeout (alone")
    assert "before, among others: the worker process died" in row.reason
    assert "raise --cell-timeout" in row.reason
    assert rounds.next() is None


def test_a_cell_lost_with_its_node_goes_back_and_nothing_is_counted():
    rounds = Rounds(GROUPS)
    for _ in range(NODE_LOSSES - 1):
        assert not rounds.next().alone
        assert rounds.end(end(aside(CELLS[0]), stored=0), lost_nodes={"n1"}) == []
    assert cells_of(rounds.next()) == [(CELLS[0],)]
    assert rounds.end(end(), lost_nodes=()) == []
    assert rounds.next() is None


def test_a_cell_that_takes_node_after_node_down_is_given_up():
    rounds = Rounds(GROUPS)
    for _ in range(NODE_LOSSES):
        rounds.next()
        rows = rounds.end(end(aside(CELLS[0]), stored=0), lost_nodes={"n1"})
    [row] = rows
    assert row.reason == "8 nodes were lost while they computed this cell, left last"
    assert rounds.next() is None


def test_a_node_lost_while_a_cell_runs_alone_leaves_it_alone():
    rounds = Rounds(GROUPS)
    rounds.next()
    rounds.end(end(aside(CELLS[0], TIMEOUT)), lost_nodes=())
    rounds.next()
    assert rounds.end(end(aside(CELLS[0]), stored=0), lost_nodes={"n1"}) == []
    again = rounds.next()
    assert again.alone
    assert again.earlier == {CELLS[0].digest: TIMEOUT.reason}


def test_cells_that_no_worker_can_begin_are_given_up_when_nothing_changes():
    rounds = Rounds(GROUPS)
    for _ in range(BARREN_ROUNDS - 1):
        assert rounds.next() is not None
        assert rounds.end(end(waiting=CELLS, stored=0), lost_nodes=(), trouble="no module named study") == []
    # A node that is lost, or a row, is no fault of the cells.
    rounds.next()
    assert rounds.end(end(waiting=CELLS, stored=0), lost_nodes={"n1"}) == []
    for _ in range(BARREN_ROUNDS):
        rounds.next()
        rows = rounds.end(end(waiting=CELLS, stored=0), lost_nodes=(), trouble="no module named study")
    assert [row.cell for row in rows] == list(CELLS)
    assert rows[0].reason == "no worker could begin this cell: no module named study"
    assert rounds.next() is None


@pytest.mark.parametrize("losses", [0, 1])
def test_memory_is_no_fault_of_a_node(losses):
    rounds = Rounds(GROUPS)
    rounds.next()
    memory = Failure(kind="memory", reason="MemoryError")
    rounds.end(end(aside(CELLS[0], memory, None)), lost_nodes={"n1"} if losses else ())
    assert rounds.next().alone


def test_groups_of_a_category_stand_together_in_every_round():
    halves = [Group(categories=group.categories, cells=(cell,)) for group in reversed(GROUPS) for cell in group.cells]
    rounds = Rounds(halves)
    rounds.next()
    rounds.end(end(waiting=(CELLS[0], CELLS[3], CELLS[1], CELLS[2])), lost_nodes=())
    assert [group.categories[0].name for group in rounds.next().groups] == ["disc", "disc", "plate", "plate"]


def groups_of(*names, backbone="tiny"):
    return [
        Group(
            categories=(Category(name=name, train=(), test=(), has_masks=True),),
            cells=(make_cell(seed=seed, backbone=backbone),),
        )
        for seed, name in enumerate(names)
    ]


def test_workers_begin_with_different_categories():
    groups = groups_of("a", "a", "a", "b", "c", "c", "d")

    def named(workers):
        order = spread(groups, workers)
        assert sorted(order) == list(range(len(groups)))
        return "".join(groups[place].categories[0].name for place in order)

    assert named(1) == "aaabccd"
    # Two at a time: no worker waits for a category of its own while groups are left.
    assert named(2) == "abaacdc"
    assert named(4) == "abcdaca"
    assert named(100) == named(4)
    # Groups of one category keep their order.
    assert [place for place in spread(groups, 3) if place < 3] == [0, 1, 2]


def test_backbones_of_one_category_are_two_features():
    groups = groups_of("a", "a") + groups_of("a", "a", backbone="RN101")
    assert spread(groups, 2) == [0, 2, 1, 3]
    assert spread([], 2) == []


def test_cells_of_one_training_run_alone_together():
    pool = (PoolMember(category="disc", data="d"), PoolMember(category="plate", data="p"))
    config = PromptADConfig(setting="multi_class")
    shared = tuple(make_cell(config=config, category=name, pool=pool) for name in ("disc", "plate"))
    other = make_cell(config=config, category="disc", pool=pool, seed=1)
    rounds = Rounds([Group(categories=GROUPS[0].categories, cells=(*shared, other))])
    rounds.next()
    rounds.end(end(*(aside(cell) for cell in (shared[0], other, shared[1]))), lost_nodes=())
    alone = rounds.next()
    assert alone.alone
    assert cells_of(alone) == [shared, (other,)]
    assert set(alone.earlier) == {cell.digest for cell in (*shared, other)}
