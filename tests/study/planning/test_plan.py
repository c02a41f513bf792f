import pytest
from helpers.documents import documents_of
from helpers.inspection_set import write_inspection_set
from helpers.plans import request

from ablations.arms import Arm
from ablations.designs import PaperTable
from ablations.paper.tables import TABLE2, TABLE3
from ablations.spec import Ablation
from promptad.configs.promptad_config import PromptADConfig
from promptad.configs.protocol import protocol_config
from study.planning.data_source import DataSource
from study.planning.plan import PlanError, plan_study


def test_a_plan_has_a_cell_for_every_arm_category_seed_and_task(inspection_root):
    plan = plan_study(request(inspection_root))
    assert len(plan.cells) == 5 * 2 * 2 * 2
    (document,) = documents_of(plan)
    assert {cell["digest"] for cell in document["cells"]} == set(plan.cells)
    assert document["categories"] == ["disc", "plate"]
    for cell in document["cells"]:
        planned = plan.cells[cell["digest"]]
        assert (planned.category, planned.seed, planned.task) == (cell["category"], cell["seed"], cell["task"])
        arm = next(arm for arm in document["arms"] if arm["name"] == cell["arm"])
        assert (planned.config.sc, planned.config.vad) == (arm["config"]["sc"], arm["config"]["vad"])


def test_ablations_share_cells(inspection_root):
    other = Ablation(
        name="other",
        title="",
        question="",
        design=PaperTable(
            rows=(Arm(name="full", label=""), Arm(name="lambda", label="", changes={"align_weight": 0.1})),
            baseline="full",
        ),
    )
    plan = plan_study(request(inspection_root, ablations=(TABLE3, other)))
    assert len(plan.cells) == (5 + 1) * 8


@pytest.mark.slow
def test_the_default_memory_layers_are_the_same_cell_as_the_spelled_out_ones(inspection_root):
    silent = plan_study(request(inspection_root))
    explicit = plan_study(request(inspection_root, base=PromptADConfig(memory_layers=(2, 3))))
    assert set(silent.cells) == set(explicit.cells)


def test_groups_hold_every_cell_once_and_one_category_each(inspection_root):
    plan = plan_study(request(inspection_root, seeds=5))
    groups = plan.groups(plan.cells)
    assert sorted(cell.digest for group in groups for cell in group.cells) == sorted(plan.cells)
    assert all(
        {cell.category for cell in group.cells} == {category.name for category in group.categories} for group in groups
    )
    assert len(groups) == 4
    # Groups of a category stand together, so that few nodes encode the same images.
    assert [category.name for group in groups for category in group.categories] == ["disc", "disc", "plate", "plate"]


def test_pixel_cells_without_masks_are_unavailable_with_a_reason(tmp_path):
    plan = plan_study(request(write_inspection_set(tmp_path, ("plate",), masks=False)))
    assert len(plan.unavailable) == 10
    assert set(plan.unavailable.values()) == {"plate has no ground-truth masks"}
    assert all(plan.cells[digest].task == "pixel" for digest in plan.unavailable)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 0}, "--seeds must be at least 1"),
        ({"shots": (1, 4)}, "(?s)the 3 normal images of disc, but got 4.*normal images of plate, but got 4"),
        (
            {"shots": (0,)},
            "PromptAD needs at least 1 normal image .* but 0 shots are asked for .* or WinCLIP",
        ),
        ({"base": PromptADConfig(memory_layers=(9,))}, "memory_layers must be between 1 and 5 for tiny"),
        ({"base": PromptADConfig(transformation="linear"), "backbone": "RN101:random"}, "needs a transformer backbone"),
        ({"categories": ("plate", "cup")}, "category must be one of .* but got 'cup'"),
        ({"categories": ("../plate",)}, "must be the name of a folder"),
        ({"base": PromptADConfig(n_normal_tokens=32)}, "a prompt must have at most 32 tokens, but one about 'disc'"),
        ({"support": {"cup": ("a.png",)}}, "names cup, which is no category"),
        ({"support": {"plate": ("a.png",)}}, "a.png is not a normal image of plate"),
        ({"support": {"plate": ("train/good/000.png", "train/good/001.png")}}, "has 2 images, but 1 shots"),
    ],
)
def test_what_cannot_run_is_found_before_it_runs(inspection_root, changes, message):
    with pytest.raises(PlanError, match=message):
        plan_study(request(inspection_root, **changes))


def test_a_named_support_is_part_of_the_cells(inspection_root):
    drawn = plan_study(request(inspection_root))
    named = plan_study(request(inspection_root, support={"plate": ("train/good/000.png",)}))
    assert {c.support for c in named.cells.values()} == {None, ("train/good/000.png",)}
    assert len(set(drawn.cells) & set(named.cells)) == 20


@pytest.mark.slow
def test_documents_of_different_protocols_have_different_names(inspection_root):
    bases = [PromptADConfig(), protocol_config("reference"), PromptADConfig(epochs=5), PromptADConfig(epochs=6)]
    names = [next(iter(plan_study(request(inspection_root, base=base)).documents)) for base in bases]
    assert names[0].startswith("table3-tiny-mvtec-")
    assert names[1].startswith("table3-tiny-mvtec-reference-")
    assert len(set(names)) == 4


@pytest.mark.slow
def test_documents_of_other_data_have_other_names_and_more_seeds_have_the_same(inspection_root, tmp_path):
    other = write_inspection_set(tmp_path, ("plate", "disc"), good=4)
    requests = [
        request(inspection_root),
        request(inspection_root, seeds=3),
        request(inspection_root, categories=("plate",)),
        request(inspection_root, shots=(2,)),
        request(other),
    ]
    names = [next(iter(plan_study(each).documents)) for each in requests]
    assert names[0] == names[1]
    assert len(set(names)) == 4


def test_all_normal_images_are_each_categorys_own_number(tmp_path):
    root = write_inspection_set(tmp_path, ("plate",), train=3)
    write_inspection_set(tmp_path, ("disc",), train=5)
    plan = plan_study(request(root, shots=(1, "full"), seeds=1))
    (document,) = documents_of(plan)
    assert document["shots"] == [1, "full"]
    images = {(cell["category"], cell["shots"]): cell["images"] for cell in document["cells"]}
    assert images == {("plate", 1): 1, ("disc", 1): 1, ("plate", "full"): 3, ("disc", "full"): 5}
    assert all(plan.cells[cell["digest"]].shots == cell["images"] for cell in document["cells"])


def test_rows_with_shots_of_their_own_run_at_these_whatever_is_asked_for(tmp_path):
    root = write_inspection_set(tmp_path, ("plate",), train=17)
    source = DataSource(name="synthetic", layout="mvtec", root=str(root))
    plan = plan_study(request(root, ablations=(TABLE2,), shots=(2,), seeds=1, source=source))
    (document,) = documents_of(plan)
    assert document["shots"] == ["own"]
    assert {(cell["arm"], cell["shots"], cell["images"]) for cell in document["cells"]} == {
        ("PromptAD 1", "own", 1),
        ("PromptAD 4", "own", 4),
        ("DiffNet 16", "own", 16),
        ("FastRecon 8", "own", 8),
        ("MKD full", "own", 17),
        ("PatchCore full", "own", 17),
        ("SimpleNet full", "own", 17),
    }
    # A printed row has cells of the tasks that its method scores.
    tasks = {
        arm: {cell["task"] for cell in document["cells"] if cell["arm"] == arm} for arm in ("DiffNet 16", "MKD full")
    }
    assert tasks == {"DiffNet 16": {"image"}, "MKD full": {"image", "pixel"}}
    # Every number of the paper's table stands beside its row.
    assert len(document["printed"]) == 18
    assert {number["printed_shots"] for number in document["printed"]} == {1, 4, 8, 10, 16, "full"}


def test_a_row_with_more_shots_than_there_are_images_keeps_its_published_numbers(inspection_root):
    (document,) = documents_of(plan_study(request(inspection_root, ablations=(TABLE2,), seeds=1)))
    reasons = {arm["name"]: arm["not_runnable_reason"] for arm in document["arms"]}
    assert reasons["PromptAD 1"] is None
    assert "shots must be at most the 3 normal images of plate, but got 8" in reasons["FastRecon 8"]
