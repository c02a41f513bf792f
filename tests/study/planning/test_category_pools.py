"""One model for all categories in a plan: its pool, what it cannot be asked for, and what the document says of it."""

import dataclasses

import pytest
from helpers.documents import documents_of
from helpers.inspection_set import write_inspection_set
from helpers.plans import request

from ablations.arms import Arm
from ablations.catalogue import CATALOGUE
from ablations.designs import PaperTable
from ablations.spec import Ablation
from promptad.configs.method_configs import PatchCoreConfig
from promptad.configs.method_table import METHODS
from promptad.configs.promptad_config import PromptADConfig
from promptad.datasets import normal_digest, open_category
from study.planning.cell_groups import GROUP_SIZE
from study.planning.plan import PlanError, plan_study
from study.planning.plan_document import CAME_LATER, named_by

POOLED = Arm(name="all", label="PromptAD", changes={"setting": "multi_class"})
TABLE = Ablation(
    name="own",
    title="t",
    question="q?",
    design=PaperTable(rows=(Arm(name="each", label="PromptAD"), POOLED), baseline="each"),
)


def planned(root, table=TABLE, **changes):
    return plan_study(request(root, ablations=(table,), **changes))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return write_inspection_set(tmp_path_factory.mktemp("three"), ("plate", "disc", "cup"), train=3)


def pools(plan):
    return {cell.pool for cell in plan.cells.values() if cell.pool}


def test_the_pool_is_what_the_study_asks_for_in_the_order_of_names(three):
    (pool,) = pools(planned(three, categories=("plate", "cup")))
    assert [member.category for member in pool] == ["cup", "plate"]
    for member in pool:
        category = open_category("mvtec", three, member.category)
        assert member.data == normal_digest(category) != normal_digest(dataclasses.replace(category, train=()))
    again = planned(three, categories=("cup", "plate"))
    assert set(again.cells) == set(planned(three, categories=("plate", "cup")).cells)
    (every,) = pools(planned(three))
    assert [member.category for member in every] == ["cup", "disc", "plate"]


def test_an_ablation_that_prefers_a_category_shows_the_model_of_all(three):
    some = dataclasses.replace(TABLE, name="some", preferred=("plate",))
    both = plan_study(request(three, ablations=(TABLE, some)))
    documents = {document["ablation"]: document for document in documents_of(both)}
    of_all, of_some = ({cell["digest"] for cell in documents[name]["cells"]} for name in ("own", "some"))
    assert of_some < of_all
    assert {both.cells[digest].category for digest in of_some} == {"plate"}
    assert all(len(pool) == 3 for pool in pools(both))


def test_cells_of_each_category_alone_are_those_of_a_study_without_pools(three):
    alone = dataclasses.replace(TABLE, design=PaperTable(rows=(Arm(name="each", label="PromptAD"),), baseline=None))
    plan, before = planned(three), planned(three, alone)
    assert {digest for digest, cell in plan.cells.items() if not cell.pool} == set(before.cells)


def test_changed_normal_images_of_one_category_are_other_cells_of_all(tmp_path):
    root = write_inspection_set(tmp_path, ("plate", "disc"))
    before = planned(root)
    (root / "disc" / "test" / "good" / "001.png").unlink()
    tested = planned(root)
    (root / "disc" / "train" / "good" / "002.png").unlink()
    after = planned(root)
    of = {
        name: {d for d, cell in plan.cells.items() if cell.pool and cell.category == "plate"}
        for name, plan in (("before", before), ("tested", tested), ("after", after))
    }
    # Test images of another category do not matter, normal ones do.
    assert of["before"] == of["tested"]
    assert not of["before"] & of["after"]


def test_the_document_says_it_in_a_typed_field_and_in_the_label(three):
    (document,) = documents_of(planned(three))
    each, every = document["arms"]
    assert (each["pool"], each["label"]) == ([], "PromptAD")
    assert every["pool"] == ["cup", "disc", "plate"]
    assert every["label"] == "PromptAD, one model for 3 categories"


def test_plans_differ_by_their_pool_and_plans_without_one_keep_their_names(three):
    some = dataclasses.replace(TABLE, preferred=("plate",))
    names = [next(iter(planned(three, some, categories=each).documents)) for each in (None, ("plate", "disc"))]
    assert names[0] != names[1]
    # Fields that came after plans had their names count where they are used, so that the other plans keep theirs.
    for config in (PromptADConfig(), PatchCoreConfig()):
        later = CAME_LATER & set(config.field_names())
        assert later
        assert set(named_by(config)) == set(config.field_names()) - later
    assert named_by(PatchCoreConfig(activations="raw")) == named_by(PatchCoreConfig()) | {"activations": "raw"}
    assert named_by(PromptADConfig(setting="multi_class")) == PromptADConfig(setting="multi_class").as_dict()


def test_a_base_for_all_categories_makes_it_of_every_method_that_can_and_of_no_other(three):
    table = CATALOGUE["table6"]
    plan = planned(three, table, base=PromptADConfig(setting="multi_class"), seeds=1)
    (document,) = documents_of(plan)
    pooled = {arm["name"] for arm in document["arms"] if arm["pool"]}
    assert pooled == {"CoOp+VV-CLIP", "MaPLe", "PromptAD"}


@pytest.mark.parametrize(
    ("table", "changes", "message"),
    [
        (
            TABLE,
            {"categories": ("plate",)},
            "arm all: one model for all categories needs at least 2 of them, but the study has plate alone: name more "
            "with --categories, or use setting=one_class",
        ),
        (
            dataclasses.replace(TABLE, queries=("test", "synthetic")),
            {},
            "arm all: one model for all categories is judged on test images alone, but pseudo-anomalies are asked for",
        ),
        (
            dataclasses.replace(TABLE, artefacts=("cost", "embedding")),
            {},
            "arm all: cost and embedding must be of a model of one category, but one for all is asked for",
        ),
        (
            TABLE,
            {"support": {"plate": ("train/good/000.png",)}},
            "arm all: --support must be of models of one category each, since a cell names its own list alone",
        ),
        (TABLE, {"suffixes": {"plate": ("rusty {}",)}}, "arm all: --suffixes must be of models of one category each"),
    ],
)
def test_what_one_model_for_all_cannot_do_is_an_error_of_the_plan(three, table, changes, message):
    with pytest.raises(PlanError, match=message):
        planned(three, table, **changes)


def test_images_and_prompts_of_categories_that_are_not_scored_are_checked_too(tmp_path):
    root = write_inspection_set(tmp_path, ("cup", "left_front_wheel_hub_cover"))
    table = dataclasses.replace(TABLE, preferred=("cup",))
    long = PromptADConfig(n_normal_tokens=24)
    with pytest.raises(PlanError, match="a prompt must have at most 32 tokens, but one about 'left front wheel hub"):
        planned(root, table, base=long)
    alone = dataclasses.replace(table, design=PaperTable(rows=(Arm(name="each", label=""),), baseline=None))
    assert planned(root, alone, base=long).cells
    (root / "left_front_wheel_hub_cover" / "train" / "good" / "002.png").unlink()
    with pytest.raises(PlanError, match="shots must be at most the 2 normal images of left_front_wheel_hub_cover"):
        planned(root, table, shots=(3,))
    assert planned(root, alone, shots=(3,)).cells


def test_all_images_are_no_one_number_where_categories_have_different_ones(tmp_path):
    root = write_inspection_set(tmp_path, ("plate", "disc"))
    plan = planned(root, shots=("full",))
    assert {cell.shots for cell in plan.cells.values()} == {3}
    (root / "disc" / "train" / "good" / "002.png").unlink()
    message = "shots must be one number for all .* but full is 2 images of disc and 3 of plate: use --shots"
    with pytest.raises(PlanError, match=message):
        planned(root, shots=("full",))


def test_a_method_that_cannot_is_refused_by_the_table_of_methods(three, monkeypatch):
    monkeypatch.setitem(METHODS, "maple", dataclasses.replace(METHODS["maple"], settings=("one_class",)))
    maple = dataclasses.replace(POOLED, name="maple", runs="maple")
    table = dataclasses.replace(TABLE, design=PaperTable(rows=(maple,), baseline=None))
    with pytest.raises(PlanError, match="setting must be one_class for MaPLe, which learns a model for each category"):
        planned(three, table)


def test_a_printed_row_that_cannot_have_one_model_keeps_its_numbers(three):
    base = PromptADConfig(setting="multi_class")
    (document,) = documents_of(planned(three, CATALOGUE["table6"], base=base, seeds=1, categories=("plate",)))
    reasons = {arm["name"]: arm["not_runnable_reason"] for arm in document["arms"]}
    assert reasons["MaPLe"].startswith("one model for all categories needs at least 2 of them")
    assert reasons["CoCoOp+VV-CLIP"] is None


def test_cells_of_a_training_are_neighbours_in_one_group(tmp_path):
    names = tuple(f"part{number:02}" for number in range(15))
    root = write_inspection_set(tmp_path, names, train=1, good=1, bad=1, size=32)
    plan = planned(root, seeds=3)
    groups = [group for group in plan.groups(plan.cells) if group.cells[0].pool]
    assert sum(len(group.cells) for group in groups) == 15 * 3 * 2
    trainings = [[cell.training for cell in group.cells] for group in groups]
    for own in trainings:
        # Each training of the group once, all of its cells together.
        assert own == [training for training in dict.fromkeys(own) for _ in range(15)]
        assert len(own) <= GROUP_SIZE
    assert len({training for own in trainings for training in own}) == sum(len(set(own)) for own in trainings) == 6
    assert all(tuple(each.name for each in group.categories) == names for group in groups)
    assert all([cell.category for cell in group.cells[:15]] == list(names) for group in groups)


def test_seeds_on_the_same_images_are_said_where_the_images_of_all_categories_are(tmp_path):
    root = write_inspection_set(tmp_path, ("plate", "disc"))
    (whole,) = documents_of(planned(root, shots=(3,)))
    assert {each["arm"] for each in whole["one_support_set"]} == {"each", "all"}
    (root / "disc" / "train" / "good" / "002.png").unlink()
    (partly,) = documents_of(planned(root, shots=(2,)))
    assert [(each["arm"], each["categories"]) for each in partly["one_support_set"]] == [("each", ["disc"])]
    fixed = PromptADConfig(support_draw="fixed")
    (same,) = documents_of(planned(root, base=fixed))
    assert {each["arm"]: each["categories"] for each in same["one_support_set"]}["all"] == ["disc", "plate"]
