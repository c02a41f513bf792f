"""What cells say that they cost: against numbers by hand, once and not twice, and only where it was asked for."""

import dataclasses

import pytest
import torch
from helpers.documents import documents_of
from helpers.plans import request

from ablations.catalogue import CATALOGUE
from ablations.designs import PaperTable
from ablations.paper.methods import method_arm
from ablations.spec import Ablation
from promptad.backbones.backbone import load_backbone
from promptad.configs.promptad_config import PromptADConfig
from promptad.features.cache import FeatureCache
from promptad.flops import counted
from promptad.prompts.prompt_ensemble import ensemble_prompts, text_features
from study.bench import costs
from study.bench.workbench import Workbench
from study.planning.plan import plan_study
from study.records.cell import Cell

pytestmark = pytest.mark.slow

NAMES = {"prompts", "learned_parameters", "fit_seconds", "score_seconds", "fit_flop", "encode_flop", "score_flop"}


NETWORKS = ("SimpleNet", "MKD", "DiffNet")


def few_steps(ablation):
    """The ablation with two steps for each network that is learned on images."""
    rows = tuple(
        dataclasses.replace(arm, changes={**arm.changes, "steps": 2}) if arm.name in NETWORKS else arm
        for arm in ablation.arms
    )
    return dataclasses.replace(ablation, design=PaperTable(rows=rows, baseline=ablation.baseline))


def measured(root, name, epochs=2, cache=None, **options):
    """Rows of the embedded tiny backbone by arm, on one category."""
    base = PromptADConfig().with_changes({"epochs": epochs, "map_size": 48})
    ablations = (few_steps(CATALOGUE[name]),)
    plan = plan_study(request(root, base=base, categories=("plate",), ablations=ablations, **options))
    (document,) = documents_of(plan)
    (group,) = plan.groups(plan.cells)
    bench = Workbench(cache=cache, device="cpu", threads=1)
    bench.start_group(group.cells, group.categories)
    arms = {cell["digest"]: cell["arm"] for cell in document["cells"]}
    return {arms[cell.digest]: (bench.run(cell), cell) for cell in group.cells}


@pytest.fixture(scope="module")
def outcomes(inspection_root, tmp_path_factory):
    return measured(inspection_root, "cost", cache=FeatureCache(tmp_path_factory.mktemp("cache")))


def costs_of(outcomes):
    return {arm: outcome.row.cost for arm, (outcome, _) in outcomes.items()}


def test_every_method_of_the_table_says_what_it_costs(outcomes):
    found = costs_of(outcomes)
    assert len(found) == 15
    for arm, cost in found.items():
        assert set(cost) == NAMES, arm
        assert cost["fit_seconds"] > 0
        assert cost["score_seconds"] > 0
    prompts = {arm: cost["prompts"] for arm, cost in found.items()}
    # plate has the five generic suffixes alone: N (1 + M + L) = 10. RWDA: 512 texts of each class.
    assert prompts == {
        "PromptAD": 10,
        "CoOp+VV-CLIP": 2,
        "CoCoOp+VV-CLIP": 2,
        "MaPLe": 2,
        "CPE+VV-CLIP": 242,
        "CPE+WinCLIP": 242,
        "WinCLIP+": 242,
        "RWDA": 1024,
        **dict.fromkeys(("SPADE", "PaDiM", "PatchCore", "FastRecon", *NETWORKS), 0),
    }
    learning = {arm for arm, cost in found.items() if cost["learned_parameters"]}
    assert learning == {"PromptAD", "CoOp+VV-CLIP", "CoCoOp+VV-CLIP", "MaPLe", "RWDA", *NETWORKS}
    # Two layers of 128 channels: the adaptor, the hidden layer with its normalisation, and the output.
    assert found["SimpleNet"]["learned_parameters"] == 256 * 257 + 256 * 1024 + 3 * 1024 + 1024
    # Eight copies of an image pass the tower.
    assert found["DiffNet"]["encode_flop"] > 7 * found["RWDA"]["encode_flop"]
    # Its tower runs in every step and for every query, and no feature can be made in advance.
    assert found["MaPLe"]["encode_flop"] == 0
    assert all(cost["encode_flop"] > 0 for arm, cost in found.items() if arm != "MaPLe")
    assert found["MaPLe"]["score_flop"] >= found["PromptAD"]["encode_flop"] / 2


def test_a_fit_counts_its_texts_though_they_were_encoded_before(outcomes):
    found = costs_of(outcomes)
    backbone = load_backbone("tiny")
    prompts = ensemble_prompts(backbone.tokenizer, "plate", templates=22, prompt_text="bare")
    with torch.inference_mode():
        texts = sum(
            counted(lambda side=side: text_features(backbone, side))[1] for side in (prompts.normal, prompts.anomaly)
        )
    # Their prototypes are remembered from cell to cell, and yet each of them pays for its texts.
    for arm in ("CPE+VV-CLIP", "CPE+WinCLIP", "WinCLIP+"):
        assert found[arm]["fit_flop"] == texts > 0


def test_steps_of_training_are_paid_one_by_one(inspection_root, outcomes):
    twice = costs_of(outcomes)
    none, once = (costs_of(measured(inspection_root, "cost", epochs=epochs)) for epochs in (0, 1))
    for arm in ("PromptAD", "CoOp+VV-CLIP", "CoCoOp+VV-CLIP", "MaPLe"):
        steps = [cost[arm]["fit_flop"] for cost in (none, once, twice)]
        assert steps[2] - steps[1] == steps[1] - steps[0] > 0
        assert {cost[arm]["score_flop"] for cost in (none, once, twice)} == {twice[arm]["score_flop"]}


def test_operations_are_the_same_with_and_without_a_cache_and_scores_do_not_change(inspection_root, outcomes):
    assert all(outcome.row.seconds["cost"] > 0 for outcome, _ in outcomes.values())
    again = measured(inspection_root, "cost")
    for arm, (outcome, cell) in again.items():
        first = outcomes[arm][0].row
        assert {k: v for k, v in outcome.row.cost.items() if "seconds" not in k} == {
            k: v for k, v in first.cost.items() if "seconds" not in k
        }
        assert outcome.row.scores == first.scores
        assert outcome.examples is None
        # A measured cell is a cell of its own, with the scores of the other.
        plain = dataclasses.replace(cell, artefacts=())
        assert plain.digest != cell.digest
        assert Cell.from_dict(cell.as_dict()).digest == cell.digest


def test_a_cell_that_was_not_asked_has_no_cost_and_nothing_is_measured(inspection_root, monkeypatch):
    monkeypatch.setattr(costs, "counted", lambda _: pytest.fail("counted though nobody asked"))
    outcomes = measured(inspection_root, "table11_13", epochs=1, shots=(1,))
    assert all(outcome.row.cost is None for outcome, _ in outcomes.values())


def test_a_method_without_support_images_can_be_measured(inspection_root):
    design = PaperTable(rows=(method_arm("CPE+WinCLIP"),), baseline=None)
    ablation = Ablation(name="zero", title="z", question="z?", design=design, artefacts=("cost",), shots=(0,))
    plan = plan_study(request(inspection_root, categories=("plate",), ablations=(ablation,), seeds=1))
    (group,) = plan.groups(plan.cells)
    bench = Workbench(cache=None, device="cpu", threads=1)
    bench.start_group(group.cells, group.categories)
    by_task = {cell.task: bench.run(cell).row.cost for cell in group.cells}
    # Windows are encoded for maps alone.
    assert by_task["pixel"]["encode_flop"] > 2 * by_task["image"]["encode_flop"]
