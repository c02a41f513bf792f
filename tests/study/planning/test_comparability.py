"""Which printed numbers may be compared with ours: a row of facts each, and why the others may not."""

import io
import re

import pytest
from helpers.documents import documents_of
from helpers.inspection_set import write_inspection_set
from helpers.places import DOCS
from PIL import Image

from ablations.arms import PAPER_BACKBONE
from ablations.catalogue import CATALOGUE
from ablations.published import published
from promptad.backbones.backbone_names import BackboneName
from promptad.configs.promptad_config import PromptADConfig
from promptad.configs.protocol import other_settings, protocol_config
from promptad.datasets import full_set_of
from study.planning.arm_backbones import PlannedBackbone
from study.planning.comparability import REASONS, ArmFacts, DataFacts, is_papers, obstacles
from study.planning.data_source import DataSource
from study.planning.plan import plan_study
from study.planning.request import StudyRequest


def backbone(text, *, tag=None):
    architecture, _, source = text.partition(":")
    name = BackboneName(architecture=architecture, source=source or "embedded")
    named = None if name.is_file or name.is_random or name.is_tiny or name.is_cnn else source
    return PlannedBackbone(text=text, name=name, weights="0" * 32, tag=tag or named, activation="gelu")


PAPER = backbone(PAPER_BACKBONE)


def reasons(table, arm, dataset, *, on=None, weights=PAPER, metric="image_auroc", shots=1, base=None, **facts):
    """Reasons for which the printed number of a row gets no verdict on the whole of data set ``on``."""
    ablation, base = CATALOGUE[table], base or PromptADConfig()
    row = next(each for each in ablation.arms if each.name == arm)
    name = on or dataset
    counts = {each.name: each.test for each in full_set_of(name).categories}
    counts |= facts.pop("counts", {})
    data = DataFacts(name=name, title=name, paper_sets=ablation.data_sets, test_images=counts)
    numbers = [each for each in published(ablation.published) if each.row == row.published]
    at = [each for each in numbers if (each.dataset, each.metric, each.category) == (dataset, metric, None)]
    number = next(each for each in at if each.shots in (row.shots or shots, 0))
    values = {
        "arm": row,
        "config": ablation.configs(base)[arm],
        "backbone": weights,
        "other_settings": other_settings(base),
        "named_support": (),
        "named_suffixes": (),
        "one_support_set": (),
    }
    column = shots if row.shots is None else "own"
    task = metric.partition("_")[0].replace("pro", "pixel")
    return [each.reason for each in obstacles(number, column, task, ArmFacts(**values | facts), data)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "arm", "dataset", "changes", "expected"),
    [
        # The paper's own: whole data sets, its weights, its method.
        ("table1", "PromptAD", "mvtec", {}, []),
        ("table1", "PromptAD", "visa", {}, []),
        ("table1", "WinCLIP+", "mvtec", {"shots": 4}, []),
        ("table9", "PromptAD", "mpdd", {}, []),
        ("table9", "WinCLIP+", "loco", {"shots": 2}, []),
        ("table2", "PromptAD 4", "mvtec", {"metric": "pixel_auroc"}, []),
        ("table10", "3+8", "mvtec", {"metric": "pixel_auroc"}, []),
        ("table5", "vv", "visa", {"metric": "pixel_auroc"}, []),
        ("table6", "MaPLe", "mvtec", {}, []),
        ("table8", "ViT-B-16-plus-240", "visa", {}, []),
        # Another data set than the number's, or than the table's.
        ("table9", "PromptAD", "mpdd", {"on": "mvtec"}, ["other_data"]),
        ("table9", "PatchCore", "mpdd", {"on": "mvtec"}, ["other_data", "imagenet"]),
        ("table2", "PromptAD 1", "mvtec", {"on": "visa"}, ["other_data"]),
        ("table10", "3+8", "mvtec", {"on": "visa", "metric": "pixel_auroc"}, ["other_data"]),
        ("table1", "PromptAD", "mvtec", {"on": "visa"}, ["other_data"]),
        # Not the whole of it.
        ("table1", "PromptAD", "mvtec", {"counts": {"screw": 159}}, ["partial_data"]),
        ("table1", "PromptAD", "mvtec", {"counts": {"teapot": 12}}, ["partial_data"]),
        # Other weights.
        ("table1", "PromptAD", "mvtec", {"weights": backbone("tiny")}, ["other_weights"]),
        ("table1", "PromptAD", "mvtec", {"weights": backbone("ViT-B-16-plus-240:laion400m_e31")}, ["other_weights"]),
        ("table1", "PromptAD", "mvtec", {"weights": backbone("ViT-L-14:laion400m_e32")}, ["other_weights"]),
        ("table1", "PromptAD", "mvtec", {"weights": backbone("ViT-B-16-plus-240:random")}, ["random_weights"]),
        ("table1", "PatchCore", "mvtec", {"weights": backbone("timm/wide_resnet50_2:random")}, ["random_weights"]),
        ("table8", "RN101", "mvtec", {"weights": backbone("RN101:openai")}, ["unnamed_weights"]),
        ("table8", "RN101", "mvtec", {"weights": backbone("RN101:random")}, ["random_weights"]),
        ("table8", "ViT-L-14", "visa", {"weights": backbone("ViT-L-14:laion400m_e32")}, ["unnamed_weights"]),
        ("table8", "ViT-B-16-plus-240", "mvtec", {"weights": backbone("tiny")}, ["other_weights"]),
        # A file counts by its digest, whatever its name.
        (
            "table1",
            "PromptAD",
            "mvtec",
            {"weights": backbone("ViT-B-16-plus-240:/w/random_copy.pt", tag="laion400m_e32")},
            [],
        ),
        (
            "table1",
            "PromptAD",
            "mvtec",
            {"weights": backbone("ViT-B-16-plus-240:/w/laion400m_e32.pt")},
            ["other_weights"],
        ),
        # Methods whose printed numbers are another tower's, or that are built from less than their paper.
        ("table1", "SPADE", "mvtec", {}, ["imagenet"]),
        ("table1", "PaDiM", "visa", {}, ["imagenet"]),
        ("table4", "PatchCore", "mvtec", {"metric": "pixel_auroc"}, ["imagenet"]),
        ("table1", "FastRecon", "mvtec", {"shots": 2}, ["imagenet"]),
        ("table2", "PatchCore full", "mvtec", {}, ["imagenet"]),
        ("table2", "SimpleNet full", "mvtec", {}, ["imagenet"]),
        ("table1", "PatchCore", "mvtec", {"weights": backbone("timm/wide_resnet50_2:tv_in1k")}, ["imagenet"]),
        ("table1", "RWDA", "mvtec", {}, ["abstract"]),
        ("anople_methods", "AnoPLe", "mvtec", {}, ["unnamed_weights", "excerpts"]),
        ("table6", "MaPLe", "mvtec", {"metric": "pixel_auroc"}, ["unstated_metric"]),
        ("figure1", "WinCLIP 924", "mvtec", {}, ["unprinted_prompts"]),
        ("figure1", "CoOp 2", "mvtec", {"metric": "pixel_auroc"}, ["unprinted_prompts"]),
        ("figure1", "PromptAD 10", "mvtec", {}, []),
        # Settings, where they matter to the row.
        ("table1", "PromptAD", "mvtec", {"base": PromptADConfig(epochs=50)}, ["settings"]),
        ("table3", "vad", "mvtec", {"base": PromptADConfig(epochs=50)}, []),
        ("table1", "PromptAD", "mvtec", {"base": PromptADConfig(resize="squash")}, ["settings"]),
        ("table1", "PromptAD", "mvtec", {"base": protocol_config("reference")}, []),
        # What the user named, and draws that are none.
        ("table1", "PromptAD", "mvtec", {"named_support": ("screw",)}, ["named_support"]),
        ("table1", "PromptAD", "mvtec", {"one_support_set": ("screw",)}, ["one_support_set"]),
        ("table1", "PromptAD", "mvtec", {"named_suffixes": ("screw",)}, ["named_suffixes"]),
        # One model for all categories, by an arm's change or by the base's.
        ("table1", "PromptAD", "mvtec", {"pool": ("cable", "screw")}, ["one_model"]),
        (
            "table1",
            "PromptAD",
            "mvtec",
            {"pool": ("cable", "screw"), "base": PromptADConfig(setting="multi_class")},
            ["one_model"],
        ),
        ("table3", "vad", "mvtec", {"base": PromptADConfig(setting="multi_class")}, []),
        ("table3", "none", "mvtec", {"named_suffixes": ("screw",)}, []),
        ("table5", "vv", "mvtec", {"metric": "pixel_auroc", "named_support": ("screw",)}, []),
    ],
)
def test_what_keeps_a_printed_number_from_being_compared(table, arm, dataset, changes, expected):
    assert reasons(table, arm, dataset, **changes) == expected


def test_a_number_for_other_shots_is_not_compared():
    ablation = CATALOGUE["table1"]
    row = ablation.arms[-1]
    number = next(each for each in published("table1") if each.row == row.published and each.shots == 4)
    counts = {each.name: each.test for each in full_set_of("mvtec").categories}
    data = DataFacts(name="mvtec", title="MVTec AD", paper_sets=ablation.data_sets, test_images=counts)
    facts = ArmFacts(
        arm=row,
        config=PromptADConfig(),
        backbone=PAPER,
        other_settings={},
        named_support=(),
        named_suffixes=(),
        one_support_set=(),
    )
    (found,) = obstacles(number, 1, "image", facts, data)
    assert (found.reason, found.text) == ("other_shots", "printed for 4-shot, measured at 1-shot")


def test_a_row_without_cells_says_that_alone():
    number = next(each for each in published("table2") if each.method == "RegAD")
    data = DataFacts(name="mvtec", title="MVTec AD", paper_sets=("mvtec",), test_images={})
    assert [each.reason for each in obstacles(number, "own", "image", None, data)] == ["not_run"]


def test_the_papers_weights_are_a_tag_and_no_name():
    assert is_papers(PAPER)
    assert not is_papers(backbone("ViT-B-16-plus-240:/w/laion400m_e32.pt"))
    assert not is_papers(backbone("ViT-B-32:laion400m_e32"))


def test_the_docs_list_every_reason_with_its_words():
    text = (DOCS / "report.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", text, flags=re.MULTILINE))
    assert listed == dict(REASONS)


def source_of(root, layout, *, name=None):
    return DataSource(name=name or layout, layout=layout, root=str(root))


@pytest.mark.slow
def test_beside_data_that_are_no_published_set_stands_no_printed_number(inspection_root):
    for table in ("table1", "table3"):
        document = plan_of(inspection_root, table, shots=(1,))
        assert document["dataset_title"] == "images in the layout of MVTec AD"
        assert document["printed"] == document["printed_firsts"] == []


def images_of(known, layout, root, category, change=0):
    """Files of a published set's category, one picture throughout, with ``change`` test images more."""
    counts = next(each for each in full_set_of(known).categories if each.name == category)
    picture, mask = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "PNG")
    Image.new("L", (8, 8), 255).save(mask, "PNG")
    kind, suffix = ("bad", "") if layout == "visa_pytorch" else ("spot", "_mask")
    places = {"train/good": 4, "test/good": counts.normal + change, f"test/{kind}": counts.anomalous}
    for place, count in places.items():
        (root / category / place).mkdir(parents=True)
        for number in range(count):
            (root / category / place / f"{number:03}.png").write_bytes(picture.getvalue())
    (root / category / "ground_truth" / kind).mkdir(parents=True)
    for number in range(counts.anomalous):
        (root / category / "ground_truth" / kind / f"{number:03}{suffix}.png").write_bytes(mask.getvalue())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("known", "layout", "category"), [("mvtec", "mvtec", "toothbrush"), ("visa", "visa_pytorch", "fryum")]
)
def test_beside_whole_categories_of_a_published_set_stand_its_numbers_alone(tmp_path, known, layout, category):
    images_of(known, layout, tmp_path / "whole", category)
    document = plan_of(tmp_path / "whole", "table1", layout=layout, shots=(1,), seeds=1)
    title = full_set_of(known).title
    assert document["dataset_title"] == f"{title}, 1 of {len(full_set_of(known).categories)} categories"
    assert {number["dataset"] for number in document["printed"]} == {known}
    found = {each["reason"] for number in document["printed"] for each in number["obstacles"]}
    assert "partial_data" in found
    assert "other_data" not in found
    assert document["printed_firsts"]
    assert plan_of(tmp_path / "whole", "table9", layout=layout, shots=(1,), seeds=1)["printed"] == []
    images_of(known, layout, tmp_path / "more", category, change=1)
    document = plan_of(tmp_path / "more", "table1", layout=layout, shots=(1,), seeds=1)
    assert document["dataset_title"] == f"images in the layout of {title}"
    assert document["printed"] == []


def test_the_repacked_form_of_visa_is_compared_with_visas_numbers():
    assert reasons("table1", "PromptAD", "visa", on="visa_pytorch") == []


def plan_of(root, table, *, layout="mvtec", **changes):
    values = {
        "ablations": (CATALOGUE[table],),
        "backbone": "tiny",
        "source": source_of(root, layout),
        "base": PromptADConfig(),
        "seeds": 2,
    }
    return documents_of(plan_study(StudyRequest(**values | changes)))[0]


@pytest.mark.slow
def test_beside_the_embedded_data_stand_the_papers_numbers_with_reasons(inspection_root):
    document = plan_of(inspection_root, "table3", source=source_of(inspection_root, "mvtec", name="synthetic"))
    assert {(number["arm"], number["value"]) for number in document["printed"]} >= {("none", 81.5), ("full", 94.6)}
    (texts,) = {tuple(each["text"] for each in number["obstacles"]) for number in document["printed"]}
    assert texts[0] == "printed for MVTec AD, measured on synthetic inspection set"
    assert texts[1] == f"weights (embedded tiny CLIP; the paper's are {PAPER_BACKBONE})"


def test_a_reference_run_shares_one_support_set_but_for_rows_that_see_none(inspection_root):
    base = protocol_config("reference")
    document = plan_of(inspection_root, "table5", base=base)
    shared = {each["arm"] for each in document["one_support_set"]}
    assert shared == {arm["name"] for arm in document["arms"] if "ours" in arm["name"]}
    assert all(each["categories"] == ["disc", "plate"] for each in document["one_support_set"])
    per_seed = plan_of(inspection_root, "table5", base=base.with_changes({"support_draw": "per_seed"}))
    assert per_seed["one_support_set"] == []
    assert per_seed["protocol"] == "reference without D11"


def test_a_support_list_is_one_support_set_of_its_categories(inspection_root):
    support = {"plate": ("train/good/000.png",)}
    document = plan_of(inspection_root, "table10", support=support)
    assert {tuple(each["categories"]) for each in document["one_support_set"]} == {("plate",)}


def test_all_normal_images_are_one_support_set(tmp_path):
    root = write_inspection_set(tmp_path, ("plate",), train=8)
    document = plan_of(root, "table2")
    assert [(each["arm"], each["shots"]) for each in document["one_support_set"]] == [
        ("FastRecon 8", "own"),
        ("MKD full", "own"),
        ("PatchCore full", "own"),
        ("SimpleNet full", "own"),
    ]


def test_rows_with_random_weights_are_marked_one_by_one(inspection_root):
    document = plan_of(inspection_root, "table8", shots=(1,), arm_backbones=("RN101:random",))
    random = {arm["name"]: arm["random_weights"] for arm in document["arms"] if arm["runnable"]}
    assert random == {"RN101": True, "tiny": False}
