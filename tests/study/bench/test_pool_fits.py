"""Cells that share a model: it is learned once, from every category's images, whatever comes first or fails."""

import dataclasses
from contextlib import nullcontext

import pytest
from helpers.cells import make_cell
from helpers.inspection_set import write_inspection_set
from helpers.plans import request

from ablations.arms import Arm
from ablations.designs import PaperTable
from ablations.spec import Ablation
from promptad.configs.promptad_config import PromptADConfig
from promptad.datasets import ChangedDataError
from promptad.methods.maple import MaPLe
from promptad.methods.promptad import PromptAD
from study.bench.pool_fits import REMEMBERED, PoolFits
from study.bench.workbench import Workbench
from study.planning.plan import plan_study
from study.records.cell import PoolMember

CONFIG = PromptADConfig(setting="multi_class", memory_layers=(2, 3))
POOL = tuple(PoolMember(category=name, data=name) for name in ("cup", "disc", "plate"))


def pooled(category="plate", **changes):
    return make_cell(**{"config": CONFIG, "pool": POOL, "category": category, **changes})


class Learner:
    """Learns a number, or raises what it is told to."""

    def __init__(self, *errors):
        self.errors, self.times = list(errors), 0

    def __call__(self):
        self.times += 1
        if self.errors:
            raise self.errors.pop(0)
        number = self.times
        return lambda category, _: (number, category)


def test_a_training_is_done_once_for_its_cells_and_again_for_others():
    fits, learn = PoolFits(), Learner()
    for number, name in enumerate(("plate", "cup", "disc", "plate")):
        fit, now = fits.get(pooled(name), learn)
        assert (fit(name, None), now) == ((1, name), number == 0)
    for change in ({"seed": 1}, {"task": "pixel"}, {"shots": 2}, {"config": CONFIG.with_changes({"epochs": 3})}):
        assert fits.get(pooled(**change), learn)[1]
    assert learn.times == 5


def test_the_last_ones_are_remembered():
    fits, learn = PoolFits(), Learner()
    for seed in range(REMEMBERED + 1):
        fits.get(pooled(seed=seed), learn)
        # Whatever is asked for again is not the oldest one.
        assert not fits.get(pooled("cup", seed=0), learn)[1]
    assert not fits.get(pooled("disc", seed=REMEMBERED), learn)[1]
    assert fits.get(pooled(seed=1), learn)[1]


def test_a_failure_is_each_cells_once_and_a_second_try_is_one():
    fits, learn = PoolFits(), Learner(ValueError("first"), ValueError("second"))
    for message, times in (("first", 1), ("second", 2)):
        for name in ("plate", "cup", "disc"):
            with pytest.raises(ValueError, match=message):
                fits.get(pooled(name), learn)
            assert learn.times == times
    # A third try is the training's third: now it goes well, for all of them.
    assert [fits.get(pooled(name), learn)[1] for name in ("cup", "disc", "plate")] == [True, False, False]


def test_what_memory_is_needed_for_is_let_go_and_failures_are_not():
    fits, learn = PoolFits(), Learner(MemoryError("none left"))
    with pytest.raises(MemoryError):
        fits.get(pooled("cup"), learn)
    fits.get(pooled(seed=1), learn)
    fits.release()
    with pytest.raises(MemoryError):
        fits.get(pooled("disc"), learn)
    assert fits.get(pooled("cup", seed=1), learn)[1]
    fits.clear()
    assert fits.get(pooled("plate"), learn)[1]


FAST = {"epochs": 3, "map_size": 48}
TABLE = Ablation(
    name="own",
    title="t",
    question="q?",
    design=PaperTable(
        rows=(
            Arm(name="promptad", label="PromptAD", changes={"setting": "multi_class"}),
            Arm(name="maple", label="MaPLe", runs="maple", changes={"setting": "multi_class"}),
        ),
        baseline=None,
    ),
)


def group_of(root, **changes):
    base = PromptADConfig().with_changes(FAST | changes)
    plan = plan_study(request(root, ablations=(TABLE,), base=base, seeds=1))
    (group,) = plan.groups(plan.cells)
    return group


@pytest.fixture(scope="module")
def group(inspection_root):
    """Both methods' cells of two categories and two tasks: four trainings."""
    return group_of(inspection_root)


def bench_of(group):
    bench = Workbench(cache=None, device="cpu", threads=1)
    bench.start_group(group.cells, group.categories)
    return bench


@pytest.fixture(scope="module")
def rows(group):
    bench = bench_of(group)
    return {cell.digest: bench.run(cell).row for cell in group.cells}


@pytest.fixture
def trainings(monkeypatch):
    """Counts each training of a pool, by its method."""
    done = []
    for method in (PromptAD, MaPLe):
        real = method.fit_pool

        def counted(self, *args, _real=real, **options):
            done.append(type(self).__name__)
            return _real(self, *args, **options)

        monkeypatch.setattr(method, "fit_pool", counted)
    return done


def said(row):
    return row.cell, row.status, row.scores, row.support_images, row.test_images, row.view


@pytest.mark.slow
def test_the_cells_of_a_training_learn_once(group, rows, trainings):
    bench = bench_of(group)
    found = list(bench.run_together(group.cells))
    assert [cell for cell, _ in found] == list(group.cells)
    assert sorted(trainings) == ["MaPLe", "MaPLe", "PromptAD", "PromptAD"]
    assert len(group.cells) == 8
    for cell, outcome in found:
        assert said(outcome.row) == said(rows[cell.digest])
        assert outcome.row.cell == cell
    notes = [
        (outcome.row.provenance["fit_shared_by"], outcome.row.provenance["fit_seconds_in"]) for _, outcome in found
    ]
    assert notes == [(2, "this row"), (2, "an earlier cell")] * 4
    # What a cell took is what its row says: the second one did not learn.
    for (_, first), (_, second) in zip(found[::2], found[1::2], strict=True):
        assert first.row.seconds["fit"] > 10 * second.row.seconds["fit"]
        assert second.row.seconds["total"] < first.row.seconds["total"]


@pytest.mark.slow
def test_scores_do_not_depend_on_which_cell_comes_first(group, rows, trainings):
    bench = bench_of(group)
    for cell in reversed(group.cells):
        assert said(bench.run(cell).row) == said(rows[cell.digest])
    assert len(trainings) == 4
    # Nor on whether another process did the first one.
    for cell in (group.cells[1], group.cells[-1]):
        assert said(bench_of(dataclasses.replace(group, cells=(cell,))).run(cell).row) == said(rows[cell.digest])


def only(group, method, task, category):
    (cell,) = [each for each in group.cells if (each.method, each.task, each.category) == (method, task, category)]
    return cell


@pytest.mark.slow
def test_it_learns_from_the_support_images_that_each_category_has(group, rows, monkeypatch):
    seen, real = [], PromptAD.fit_pool

    def watched(self, backbone, supports, config, **options):
        seen.append({name: support.names for name, support in supports.items()})
        return real(self, backbone, supports, config, **options)

    monkeypatch.setattr(PromptAD, "fit_pool", watched)
    bench_of(group).run(only(group, "promptad", "image", "plate"))
    (supports,) = seen
    assert list(supports) == ["disc", "plate"]
    for name, (path,) in supports.items():
        (image,) = rows[only(group, "promptad", "image", name).digest].support_images
        assert path.endswith(f"/{name}/{image}")


@pytest.mark.slow
def test_other_images_of_one_category_make_another_model_of_all(group, rows, tmp_path):
    others = write_inspection_set(tmp_path, ("plate", "disc"))
    for image in (others / "disc" / "train" / "good").iterdir():
        image.write_bytes((others / "plate" / "train" / "good" / image.name).read_bytes())
    changed = group_of(others)
    before, after = (only(each, "promptad", "image", "plate") for each in (group, changed))
    assert before.data == after.data
    assert before.digest != after.digest
    assert bench_of(changed).run(after).row.test_images != rows[before.digest].test_images


@pytest.mark.slow
def test_a_change_of_another_categorys_image_after_planning_is_noticed(tmp_path):
    root = write_inspection_set(tmp_path, ("plate", "disc"))
    group = group_of(root)
    cell = only(group, "promptad", "image", "plate")
    test_image, normal = root / "disc" / "test" / "good" / "001.png", root / "disc" / "train" / "good" / "001.png"
    # A test image of the other category is none of this cell's business.
    test_image.unlink()
    assert bench_of(group).run(cell).row.status == "ok"
    normal.write_bytes(normal.read_bytes() + b"x")
    with pytest.raises(ChangedDataError, match=r"of disc are 1 changed \(train/good/001.png\)"):
        bench_of(group).run(cell)
    wrong = tuple(dataclasses.replace(member, data="0" * 32) for member in cell.pool)
    with pytest.raises(ChangedDataError, match=f"the data of disc must be {'0' * 32}, as planned"):
        bench_of(group).run(dataclasses.replace(cell, pool=wrong))


@pytest.mark.slow
def test_a_training_that_fails_fails_each_of_its_cells_and_no_other(group, rows, trainings, monkeypatch):
    counted = MaPLe.fit_pool

    def failing(self, *args, task, **options):
        counted(self, *args, task=task, **options)
        if task == "image":
            raise FloatingPointError("the training loss must stay finite")
        return counted(self, *args, task=task, **options)

    monkeypatch.setattr(MaPLe, "fit_pool", failing)
    found = list(bench_of(group).run_together(group.cells))
    for cell, result in found:
        if (cell.method, cell.task) == ("maple", "image"):
            assert isinstance(result, FloatingPointError)
            assert result.__traceback__ is None
        else:
            assert said(result.row) == said(rows[cell.digest])
    # Once for both cells of the failing training, twice (as written above) for the other.
    assert trainings.count("MaPLe") == 3


@pytest.mark.slow
def test_the_guard_of_a_cell_that_may_learn_for_all_is_as_long_as_theirs(group):
    asked = []

    def guard(cells):
        asked.append(cells)
        return nullcontext()

    list(bench_of(group).run_together(group.cells[:2], guard))
    assert asked == [2, 2]


@pytest.mark.slow
def test_memory_that_is_let_go_costs_a_training_and_no_score(group, rows, trainings):
    bench = bench_of(group)
    assert said(bench.run(group.cells[0]).row) == said(rows[group.cells[0].digest])
    bench.release()
    assert said(bench.run(group.cells[1]).row) == said(rows[group.cells[1].digest])
    assert len(trainings) == 2
