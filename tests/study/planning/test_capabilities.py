"""What a method cannot do is an error of the plan, that names the method, the need and the alternatives."""

import dataclasses

import pytest
from helpers.arms import arm, planned
from helpers.documents import documents_of
from helpers.plans import request

from ablations.arms import Arm
from ablations.catalogue import CATALOGUE
from ablations.designs import Factor, OneFactorAtATime, PaperTable
from ablations.spec import Ablation
from promptad.configs.method_table import METHODS
from promptad.configs.promptad_config import PromptADConfig
from study.planning.plan import PlanError, plan_study


def test_methods_that_need_support_images_and_get_none(inspection_root):
    message = (
        r"PatchCore needs at least 1 normal image of a category, but 0 shots are asked for \(arm by patchcore\): "
        r"use --shots 1, or WinCLIP, RWDA$"
    )
    with pytest.raises(PlanError, match=message):
        planned(inspection_root, arm("patchcore"), arm("winclip"), shots=(0,))


def test_zero_shot_cells_of_a_method_that_needs_none(inspection_root):
    cells = planned(inspection_root, arm("winclip"), shots=(0,)).cells.values()
    assert {(cell.method, cell.shots, cell.task) for cell in cells} == {
        ("winclip", 0, "image"),
        ("winclip", 0, "pixel"),
    }


def test_shots_below_zero(inspection_root):
    with pytest.raises(PlanError, match="WinCLIP needs at least 0 normal image of a category, but -1 shots"):
        planned(inspection_root, arm("winclip"), shots=(-1,))


def test_a_resnet_for_a_method_of_windows(inspection_root):
    message = (
        "arm by winclip: WinCLIP needs a transformer backbone, but RN101:random is a ResNet: use another backbone, "
        "or a method that needs none: PromptAD, PatchCore, SPADE, PaDiM, FastRecon, CoCoOp, RWDA"
    )
    with pytest.raises(PlanError, match=message):
        planned(inspection_root, arm("winclip"), arm("padim"), backbone="RN101:random")


@pytest.mark.slow
def test_printed_rows_keep_their_published_numbers_where_the_backbone_does_not_fit(inspection_root):
    asked = {"ablations": (CATALOGUE["table9"],), "backbone": "RN101:random", "shots": (1,)}
    (document,) = documents_of(plan_study(request(inspection_root, **asked)))
    reasons = {arm["name"]: arm["not_runnable_reason"] for arm in document["arms"]}
    assert reasons["WinCLIP+"].startswith("WinCLIP+ needs a transformer backbone, but RN101:random is a ResNet")
    assert reasons["PatchCore"] is reasons["PromptAD"] is None
    assert {cell["arm"] for cell in document["cells"]} == {"PatchCore", "PromptAD"}


def test_a_table_of_which_no_row_fits_is_an_error(inspection_root):
    row = arm("winclip", published="method=WinCLIP+")
    with pytest.raises(PlanError, match="arm by winclip: WinCLIP needs a transformer backbone"):
        planned(inspection_root, row, backbone="RN101:random")


def test_a_cnn_for_methods_that_need_texts(inspection_root):
    message = (
        "arm by promptad: PromptAD needs a text tower, but timm/test_resnet:random is a CNN without text tower: use "
        "another backbone, or a method that needs none: PatchCore, SPADE, PaDiM, FastRecon"
    )
    with pytest.raises(PlanError, match=message):
        planned(inspection_root, arm("promptad"), arm("padim"), backbone="timm/test_resnet:random")
    with pytest.raises(PlanError, match="WinCLIP needs a transformer backbone and a text tower, but timm/test_resnet"):
        planned(inspection_root, arm("winclip"), arm("padim"), backbone="timm/test_resnet:random")


@pytest.mark.slow
def test_the_visual_memory_alone_needs_no_texts(inspection_root):
    asked = {"ablations": (CATALOGUE["table3"],), "backbone": "timm/test_resnet:random", "shots": (1,)}
    plan = plan_study(request(inspection_root, **asked))
    (document,) = documents_of(plan)
    assert {cell["arm"] for cell in document["cells"]} == {"vad"}
    reasons = {arm["name"]: arm["not_runnable_reason"] for arm in document["arms"]}
    assert reasons["full"].startswith("PromptAD needs a text tower, but timm/test_resnet:random is a CNN without")
    assert {cell.config.memory_layers for cell in plan.cells.values()} == {(2, 3)}


def test_windows_that_do_not_fit_the_grid(inspection_root):
    message = "windows must be between 1 and 12 patches wide for tiny, but arm by winclip has 2, 13"
    with pytest.raises(PlanError, match=message):
        planned(inspection_root, arm("winclip", changes={"windows": (2, 13)}))


def test_attention_is_shown_of_a_support_image(inspection_root):
    design = PaperTable(rows=(arm("winclip"),), baseline=None)
    table = Ablation(name="own", title="t", question="q?", design=design, artefacts=("attention",))
    with pytest.raises(PlanError, match="attention by block is that of a support image, but 0 shots are asked for"):
        plan_study(request(inspection_root, ablations=(table,), shots=(0,)))


def test_maps_of_a_method_that_scores_images_only(inspection_root, monkeypatch):
    entry = dataclasses.replace(METHODS["spade"], tasks=("image",))
    monkeypatch.setitem(METHODS, "spade", entry)
    message = (
        r"SPADE scores images only, but pixels are asked for \(arm by spade\): use metrics of the image task, or "
        "PromptAD, PatchCore, PaDiM"
    )
    with pytest.raises(PlanError, match=message):
        planned(inspection_root, arm("spade"), arm("padim"))


def test_designs_vary_any_methods_config():
    design = OneFactorAtATime(factors=(Factor.of("coreset", 0.1, 0.5),), of_method="patchcore")
    table = Ablation(name="own", title="t", question="q?", design=design)
    configs = table.configs(PromptADConfig(map_size=64))
    assert {(type(config).__name__, config.coreset, config.map_size) for config in configs.values()} == {
        ("PatchCoreConfig", 0.1, 64),
        ("PatchCoreConfig", 0.5, 64),
    }
    with pytest.raises(ValueError, match=r"a design's method must be one of promptad, .* but got 'patchcor'"):
        OneFactorAtATime(factors=(Factor.of("coreset", 0.1, 0.5),), of_method="patchcor")


def test_a_change_that_repeats_the_methods_default_is_an_error():
    rows = (Arm(name="a", label="a", runs="patchcore", changes={"coreset": 0.1}),)
    table = Ablation(name="own", title="t", question="q?", design=PaperTable(rows=rows, baseline=None))
    with pytest.raises(ValueError, match="arm a: coreset already has this value in the base"):
        table.configs(PromptADConfig())
