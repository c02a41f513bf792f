"""The catalogue: every entry plans, and its rows are those that the paper prints."""

import pytest
from helpers.documents import document_of, documents_of
from helpers.inspection_set import write_inspection_set

from ablations.arms import Arm, PrintedRow
from ablations.catalogue import CATALOGUE
from ablations.designs import PaperTable
from ablations.loading import named_ablations
from ablations.paper.methods import METHODS, PaperMethod, method_arm
from ablations.published import published
from ablations.spec import Ablation
from promptad.configs.method_configs import PatchCoreConfig
from promptad.configs.method_table import METHODS as METHOD_TABLE
from promptad.configs.promptad_config import PromptADConfig
from promptad.configs.protocol import DEVIATIONS, protocol_config
from promptad.texts.suffixes import manual_suffixes
from study.planning.data_source import DataSource
from study.planning.plan import plan_study
from study.planning.request import StudyRequest

# Counted in the paper: rows of each table (Figure 1: curves that section 1 gives a number of), those that run here
# (Table 8: where there are weights), and the arms that only we have.
ROWS = {
    "table1": (7, 7, 0),
    "table2": (9, 7, 0),
    "table3": (5, 5, 0),
    "table4": (6, 6, 0),
    "table5": (7, 7, 0),
    "table6": (6, 6, 0),
    "table7": (4, 4, 0),
    "table8": (3, 4, 1),
    "table9": (3, 3, 0),
    "table10": (2, 2, 0),
    "figure1": (3, 12, 9),
}


OF_SEVERAL = {"multi_class", "multi_class_maple", "multi_class_anople"}
"""Ablations that need more than one category."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = write_inspection_set(tmp_path_factory.mktemp("four"), ("plate",), train=4)
    return DataSource(name="mvtec", layout="mvtec", root=str(root))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    root = write_inspection_set(tmp_path_factory.mktemp("pair"), ("plate", "disc"), train=4)
    return DataSource(name="mvtec", layout="mvtec", root=str(root))


def planned(source, *names, **options):
    values = {"ablations": named_ablations(names), "backbone": "tiny", "source": source, "base": PromptADConfig()}
    return plan_study(StudyRequest(**{**values, "seeds": 1, **options}))


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOGUE)
def test_every_entry_plans(source, pair, name):
    (document,) = documents_of(planned(pair if name in OF_SEVERAL else source, name))
    arms = {arm["name"]: arm for arm in document["arms"]}
    assert {cell["arm"] for cell in document["cells"]} == (
        {name for name, arm in arms.items() if arm["runnable"]} if document["tasks"] else set()
    )
    for arm in arms.values():
        assert arm["runnable"] == (arm["not_runnable_reason"] is None) == (arm["config"] is not None)
        for factor in document["factors"]:
            level = arm["factors"].get(factor["name"])
            assert level is None or level in factor["levels"]
    assert document["baseline"] is None or document["baseline"] in arms
    assert document["question"].endswith("?")
    assert document["title"]


@pytest.mark.parametrize("name", ROWS)
def test_tables_have_the_papers_rows(name):
    rows, runnable, ours = ROWS[name]
    ablation = CATALOGUE[name]
    printed = {cell.row for cell in published(name)}
    assert len(printed) == rows
    assert [arm.published is None for arm in ablation.arms].count(True) == ours
    assert {arm.published for arm in ablation.arms} - {None} == printed
    # Table 2 has PromptAD at two numbers of shots.
    assert len({arm.published or arm.name for arm in ablation.arms}) == rows + ours
    assert len(ablation.configs(PromptADConfig())) == runnable
    numbers = published(name)
    assert {cell.metric for cell in numbers} == set(ablation.metrics)
    assert {cell.dataset for cell in numbers} == set(ablation.data_sets)


@pytest.mark.slow
def test_the_whole_catalogue_shares_its_cells(source):
    plan = planned(source, "all", whole_catalogue=True)
    assert set(plan.left_out) == OF_SEVERAL
    for problems in plan.left_out.values():
        assert all("needs at least 2 of them, but the study has plate alone" in problem for problem in problems)
    by_name = {document.ablation: {cell.digest for cell in document.cells} for document in plan.documents.values()}
    assert len(by_name) == len(CATALOGUE) - len(OF_SEVERAL)
    # Five of Table 1's methods at the image level with 1, 2 and 4 shots: all of Tables 11 and 15.
    assert by_name["table11_13"] == by_name["table15_17"]
    assert len(by_name["table11_13"]) == 5 * 3
    assert by_name["table11_13"] < by_name["table1"]
    assert by_name["table12_14"] == by_name["table16_18"]
    assert by_name["table12_14"] < by_name["table4"]
    # SPADE, PaDiM, PatchCore, WinCLIP+, RWDA and FastRecon beside it, three numbers of shots each.
    assert len(by_name["table1"]) == 7 * 3
    assert by_name["steps"] < by_name["table3"]
    assert len(by_name["table3"] & by_name["interactions"]) == 4 * 2
    # Its cells keep maps that those of Table 4 do not, so that they are cells of their own.
    assert not by_name["figure8"] & by_name["table4"]
    assert len(by_name["figure8"]) == 3
    assert len(plan.cells) < sum(map(len, by_name.values()))


@pytest.mark.slow
def test_an_entry_that_fits_not_is_left_out_of_all_and_an_error_by_name(source):
    plan = planned(source, "all", base=protocol_config("reference"), whole_catalogue=True)
    known = "arm D1: temperature already has this value in the base, so the change changes nothing"
    assert known in plan.left_out["protocol_audit"]
    assert "table3" in {document.ablation for document in plan.documents.values()}
    with pytest.raises(ValueError, match="arm D1: temperature already has this value"):
        planned(source, "protocol_audit", base=protocol_config("reference"))


def test_the_audit_flips_every_departure_alone_and_all_together():
    audit = CATALOGUE["protocol_audit"]
    configs = audit.configs(PromptADConfig())
    assert set(configs) == {
        "paper",
        "reference",
        "reference, last epoch",
        *(deviation.number for deviation in DEVIATIONS if deviation.number != "D8"),
    }
    assert len(configs) == 19
    for deviation in DEVIATIONS:
        if deviation.number != "D8":
            assert configs[deviation.number] == PromptADConfig(**deviation.changes)
    assert configs["reference"] == protocol_config("reference")
    assert configs["reference, last epoch"].selection == "last"


def test_d8_alone_would_change_nothing():
    # What the reason in the catalogue says: neither with N = 1 nor with the released code's N = 3 and L = 4.
    for n in (1, 3):
        assert {(i % n, i % 4) for i in range(n * 4)} == {(a, b) for a in range(n) for b in range(4)}


def test_a_method_that_nothing_runs_has_published_numbers_only():
    for name, reason in {
        "TDG": "trains generative networks at five scales",
        "RegAD": "learns from the normal images of all other categories",
        "P-SVDD": "learns its own encoder from nothing",
    }.items():
        assert method_arm(name).not_runnable.startswith(f"{name} {reason}")
    assert method_arm("PromptAD").not_runnable is None
    for runs, not_built in ((None, None), ("padim", "no one knows")):
        with pytest.raises(ValueError, match="a method must have runs or not_built, and not both"):
            PaperMethod(runs=runs, not_built=not_built)
    named = {arm.method for name in ROWS for arm in CATALOGUE[name].arms}
    assert {name for name, method in METHODS.items() if method.runs is None} <= named


def test_table_2_trains_as_it_says():
    configs = CATALOGUE["table2"].configs(PromptADConfig())
    assert configs["PatchCore full"] == PatchCoreConfig(coreset=0.25, most_entries=100_000)
    assert configs["SimpleNet full"].steps == 600
    assert "SimpleNet takes 600 steps here" in CATALOGUE["table2"].note
    # A quarter of all patches of the largest category of MVTec AD on ViT-B/16+, and on a CNN's grid of 28 x 28.
    assert [configs["PatchCore full"].entries(391 * side**2, 1) for side in (15, 28)] == [21994, 76636]


def test_the_forms_are_the_released_codes_choices():
    configs = CATALOGUE["forms"].configs(PromptADConfig())
    released = PatchCoreConfig(activations="raw", patch_pooling="reference", image_score="maximum")
    assert configs["released"] == released
    assert configs["patchcore"] == PatchCoreConfig()
    assert configs["unregistered"].dimensions == 64 + 128 + 256
    assert configs["unregistered"].support_views == "augmented"
    assert {type(config).__name__ for config in configs.values()} == {
        "PatchCoreConfig",
        "PaDiMConfig",
        "SimpleNetConfig",
        "MKDConfig",
    }


def test_figure_1_is_winclips_curve_and_counts_its_prompts():
    arms = {arm.name: arm for arm in CATALOGUE["figure1"].arms}
    configs = CATALOGUE["figure1"].configs(protocol_config("reference"))
    winclip = [arm for arm in arms.values() if arm.method == "WinCLIP"]
    assert [arm.factors["prompts"] for arm in winclip] == [11, 55, 242, 924]
    assert {arm.runs for arm in winclip} == {"winclip"}
    assert [configs[arm.name].ensemble_templates for arm in winclip] == [1, 5, 22, 84]
    assert all(configs[arm.name].ensemble_templates * 11 == arm.factors["prompts"] for arm in winclip)
    assert [arm.factors["prompts"] for name, arm in arms.items() if name.startswith("CPE")] == [11, 55, 242, 924]
    assert {arm.factors["method"] for name, arm in arms.items() if name.startswith("CPE")} == {"CPE on VV-CLIP"}
    # N (1 + M + L) with the paper's five generic suffixes and L = 4.
    assert [arms[f"PromptAD {number}"].factors["prompts"] for number in (10, 20, 40)] == [10, 20, 40]
    # Whatever N the base has, the arms have theirs.
    assert [configs[f"PromptAD {number}"].n_normal_prompts("image") for number in (10, 20, 40)] == [1, 2, 4]


@pytest.mark.parametrize("name", ["table11_13", "table12_14", "table15_17", "table16_18"])
def test_tables_by_category_compare_the_methods_that_have_numbers_everywhere(name):
    ablation = CATALOGUE[name]
    assert [arm.method for arm in ablation.arms] == ["SPADE", "PaDiM", "PatchCore", "WinCLIP+", "PromptAD"]
    assert ablation.baseline == "PromptAD"
    complete = {(dataset, shots) for dataset in ("mvtec", "visa") for shots in (1, 2, 4)}
    by_table = []
    for table in ("table1", "table4"):
        numbers = published(table)
        printed = {
            method: {(cell.dataset, cell.shots) for cell in numbers if cell.method == method}
            for method in {cell.method for cell in numbers}
        }
        by_table.append({method for method, settings in printed.items() if settings == complete})
    assert {arm.method for arm in ablation.arms} == by_table[0] & by_table[1]
    assert "inferred" in ablation.note


def test_the_margin_of_eam_and_its_weight_are_varied_one_at_a_time():
    configs = CATALOGUE["eam"].configs(PromptADConfig())
    # The paper's eq. 13 first, which every other is compared with.
    assert [(config.margin, config.margin_weight) for config in configs.values()] == [
        *((0.0, 1.0), (0.1, 1.0), (0.2, 1.0), (0.5, 1.0)),
        *((0.0, 0.1), (0.0, 10.0)),
    ]
    assert CATALOGUE["eam"].baseline == next(iter(configs))
    assert all(config.eam for config in configs.values())


def test_layers_of_table_10_are_scaled_to_the_tower():
    table = CATALOGUE["table10"]
    assert table.configs(PromptADConfig(), blocks=12)["6+9"].memory_layers == (6, 9)
    assert table.configs(PromptADConfig(), blocks=24)["6+9"].memory_layers == (12, 18)
    # 5 * 6 / 12 = 2.5 and 5 * 9 / 12 = 3.75, rounded up.
    assert table.configs(PromptADConfig(), blocks=5)["6+9"].memory_layers == (3, 4)


def test_numbers_of_a_category_are_told_from_means():
    numbers = published("table10")
    assert [(cell.category, cell.value) for cell in numbers[:4]] == [
        ("screw", 91.7),
        ("grid", 58.8),
        ("transistor", 84.9),
        (None, 92.0),
    ]
    assert {cell.row for cell in numbers[:4]} == {PrintedRow.of("PromptAD", memory_layers="6+9", pad=False, vad=True)}


def test_a_figure_of_one_category_takes_the_papers_or_the_first():
    figure = CATALOGUE["figure6"]
    assert figure.categories(("bottle", "cable", "grid")) == ("cable",)
    assert figure.categories(("bottle", "grid")) == ("bottle",)
    assert CATALOGUE["table3"].categories(("bottle", "grid")) == ("bottle", "grid")


def test_rows_of_other_backbones_run_on_the_users_weights_of_that_architecture(source):
    (document,) = (
        document_of(each) for each in planned(source, "table8", arm_backbones=("RN101:random",)).documents.values()
    )
    arms = {arm["name"]: arm for arm in document["arms"]}
    assert {name for name, arm in arms.items() if arm["runnable"]} >= {"RN101", "tiny"}
    assert arms["RN101"]["backbone"] == "RN101:random"
    assert {cell["arm"] for cell in document["cells"]} == {name for name, arm in arms.items() if arm["runnable"]}


def test_weights_that_are_not_here_are_a_reason(source, monkeypatch):
    monkeypatch.setattr("study.planning.arm_backbones.weights_are_here", lambda name: name.is_tiny)
    plan = planned(source, "table8")
    (document,) = documents_of(plan)
    reasons = {arm["name"]: arm["not_runnable_reason"] for arm in document["arms"]}
    assert reasons["tiny"] is None
    assert "add --backbone RN101:openai to fetch them" in reasons["RN101"]
    assert {cell.backbone for cell in plan.cells.values()} == {"tiny"}


def test_cells_of_different_backbones_stand_in_different_groups(source):
    plan = planned(source, "table8", arm_backbones=("RN101:random",))
    for group in plan.groups(plan.cells):
        assert len({cell.backbone for cell in group.cells}) == 1


def test_rows_of_other_methods_are_cells_of_these_methods_under_the_same_protocol(source):
    base = PromptADConfig(map_size=64, map_smoothing=2.0, epochs=3)
    cells = planned(source, "table4", base=base).cells.values()
    assert {cell.method for cell in cells} == {"promptad", "spade", "padim", "patchcore", "fastrecon", "winclip_plus"}
    assert {(cell.config.map_size, cell.config.map_smoothing) for cell in cells} == {(64, 2.0)}
    assert {cell.config.memory_layers for cell in cells if cell.method != "winclip_plus"} == {(2, 3)}
    for cell in cells:
        assert type(cell).from_dict(cell.as_dict()) == cell


def test_an_arm_that_runs_an_unknown_method_names_the_known_ones():
    design = PaperTable(rows=(Arm(name="a", label="a", runs="patchcor"),), baseline=None)
    table = Ablation(name="wrong", title="w", question="q?", design=design)
    with pytest.raises(ValueError, match=r"an arm's method must be one of promptad, patchcore, .* got 'patchcor'"):
        table.configs(PromptADConfig())
    design = PaperTable(rows=(Arm(name="a", label="a", runs="spade", changes={"coreset": 0.5}),), baseline=None)
    table = Ablation(name="wrong", title="w", question="q?", design=design)
    with pytest.raises(ValueError, match=r"arm a: config has no field coreset; its fields are memory_layers, .*images"):
        table.configs(PromptADConfig())


def test_embeddings_of_prompts_need_prompts(source):
    design = PaperTable(rows=(Arm(name="a", label="a", runs="padim"),), baseline=None)
    table = Ablation(name="wrong", title="w", question="q?", design=design, artefacts=("embedding",))
    values = {"ablations": (table,), "backbone": "tiny", "source": source, "base": PromptADConfig(), "seeds": 1}
    with pytest.raises(ValueError, match=r"embeddings of prompts need .* arm a runs padim: use promptad"):
        plan_study(StudyRequest(**values))


def test_figure_8_compares_three_methods_on_pixels(source):
    plan = planned(source, "figure8", seeds=3)
    assert {(cell.method, cell.task, cell.seed, cell.artefacts) for cell in plan.cells.values()} == {
        (method, "pixel", 0, ("compared",)) for method in ("promptad", "patchcore", "winclip_plus")
    }


def test_without_a_transformer_winclip_is_left_out_of_figure_8_with_the_reason(source):
    (document,) = documents_of(planned(source, "figure8", backbone="RN101:random"))
    reasons = {arm["name"]: arm["not_runnable_reason"] for arm in document["arms"]}
    assert reasons["PromptAD"] is reasons["PatchCore"] is None
    assert reasons["WinCLIP+"].startswith("WinCLIP+ needs a transformer backbone, but RN101:random is")


def test_compared_maps_need_pixels(source):
    table = Ablation(
        name="wrong",
        title="w",
        question="q?",
        design=PaperTable(rows=(method_arm("PromptAD"),), baseline=None),
        metrics=("image_auroc",),
        artefacts=("compared",),
    )
    values = {"ablations": (table,), "backbone": "tiny", "source": source, "base": PromptADConfig(), "seeds": 1}
    with pytest.raises(ValueError, match="compared maps are those of pixel cells, but no pixel metric is asked for"):
        plan_study(StudyRequest(**values))


def test_figure_6_measures_every_seed_and_names_the_papers_number_of_prompts(source):
    figure = CATALOGUE["figure6"]
    plan = planned(source, "figure6", seeds=3)
    assert {cell.seed for cell in plan.cells.values()} == {0, 1, 2}
    # "3 x 13 MAPs" of the paper's cable: the five own suffixes and the released code's eight; Figure 7 has five.
    (config,) = figure.configs(PromptADConfig()).values()
    assert config.n_normal_prompts("image") == 3
    assert 3 * len(manual_suffixes("cable", config.generic_suffixes)) == 30
    (released,) = figure.configs(protocol_config("reference")).values()
    assert 3 * len(manual_suffixes("cable", released.generic_suffixes)) == 39
    assert "3 × 10 = 30" in figure.note
    assert "39" in figure.note
    assert "one feature per normal test image" in figure.note


@pytest.mark.slow
def test_one_model_for_all_is_compared_with_one_for_each_on_the_same_cells(pair):
    plan = planned(pair, "multi_class", "multi_class_maple", "multi_class_anople", "table3")
    assert not plan.left_out
    by_name = {document.ablation: {cell.digest for cell in document.cells} for document in plan.documents.values()}
    assert by_name["multi_class_maple"] < by_name["multi_class"]
    assert by_name["multi_class_anople"] < by_name["multi_class"]
    # PromptAD with a model for each is a row of Table 3; three methods, and two settings, categories and tasks.
    assert len(by_name["multi_class"]) == 3 * 2**3
    assert len(by_name["multi_class"] & by_name["table3"]) == 4
    pooled = {cell.method for cell in plan.cells.values() if cell.pool}
    assert pooled == {name for name, entry in METHOD_TABLE.items() if "multi_class" in entry.settings}
