"""Designs against matrices written out by hand."""

import pytest

from ablations import (
    Ablation,
    AblationError,
    Arm,
    Cumulative,
    DesignError,
    Factor,
    Factorial,
    FractionalFactorial,
    LeaveOneOut,
    Level,
    OneFactorAtATime,
    PaperTable,
    PrintedRow,
)
from promptad.configs.promptad_config import PromptADConfig

RATE = Factor.of("learning_rate", 0.002, 0.02, 0.2, name="rate")
EPOCHS = Factor.of("epochs", 100, 50)
SC = Factor.switch("SC", "", off={"sc": False}, on={"sc": True})
EAM = Factor.switch("EAM", "", off={"eam": False}, on={"eam": True})
VAD = Factor.switch("VAD", "", off={"vad": False}, on={"vad": True})


def switches(number):
    """Factors A, B, ... of two levels that change nothing real."""
    return tuple(
        Factor(
            name=name,
            label=name,
            levels=tuple(Level(value=value, changes={f"field {name}": value}) for value in (0, 1)),
        )
        for name in "ABCDEFGHIJ"[:number]
    )


def matrix(design):
    return [tuple(arm.factors.values()) for arm in design.arms]


def ablation(design):
    return Ablation(name="test", title="", question="", design=design)


def test_one_factor_at_a_time():
    design = OneFactorAtATime(factors=(RATE, EPOCHS))
    assert matrix(design) == [(0.002, 100), (0.02, 100), (0.2, 100), (0.002, 50)]
    assert design.baseline == design.arms[0].name == "rate=0.002 + epochs=100"
    assert design.arms[3].changes == {"learning_rate": 0.002, "epochs": 50}


def test_leave_one_out_takes_each_part_away_alone():
    on_first = tuple(Factor(name=f.name, label="", levels=f.levels[::-1]) for f in (SC, EAM, VAD))
    design = LeaveOneOut(factors=on_first)
    assert matrix(design) == [(True, True, True), (False, True, True), (True, False, True), (True, True, False)]
    assert [arm.name for arm in design.arms] == ["everything", "without SC", "without EAM", "without VAD"]
    with pytest.raises(DesignError, match="leave_one_out design needs factors of 2 levels, but rate has another"):
        LeaveOneOut(factors=(SC, RATE))


def test_cumulative_is_a_staircase():
    design = Cumulative(factors=(SC, EAM, VAD))
    assert matrix(design) == [(False, False, False), (True, False, False), (True, True, False), (True, True, True)]
    assert design.baseline == "none"


def test_factorial_is_every_combination_but_those_without_sense():
    assert matrix(Factorial(factors=(SC, EAM))) == [(False, False), (False, True), (True, False), (True, True)]
    grid = Factorial(factors=(RATE, EPOCHS), without=({"rate": 0.2, "epochs": 50},))
    assert matrix(grid) == [(0.002, 100), (0.002, 50), (0.02, 100), (0.02, 50), (0.2, 100)]


def test_a_half_fraction_of_three_factors():
    design = FractionalFactorial(factors=switches(3), runs=4)
    # C = A + B (mod 2), so that ABC is constant.
    assert matrix(design) == [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
    assert design.found_resolution == 3
    assert design.defining_relation == (frozenset("ABC"),)
    assert design.aliases("A") == (frozenset("BC"),)


def test_a_half_fraction_of_four_factors_has_resolution_four():
    design = FractionalFactorial(factors=switches(4), runs=8, resolution=4)
    assert matrix(design) == [(a, b, c, (a + b + c) % 2) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    assert design.aliases("A") == (frozenset("BCD"),)
    assert design.aliases("A", "B") == (frozenset("CD"),)


def test_seven_factors_in_eight_runs_are_saturated_and_balanced():
    design = FractionalFactorial(factors=switches(7), runs=8)
    rows = matrix(design)
    assert len(set(rows)) == 8
    for first in range(7):
        assert sum(row[first] for row in rows) == 4
        for second in range(first):
            pairs = [(row[first], row[second]) for row in rows]
            assert all(pairs.count(pair) == 2 for pair in [(0, 0), (0, 1), (1, 0), (1, 1)])
    assert design.found_resolution == 3
    assert len(design.defining_relation) == 15


def test_the_full_factorial_is_the_fraction_with_all_runs():
    design = FractionalFactorial(factors=switches(3), runs=8, resolution=3)
    assert matrix(design) == matrix(Factorial(factors=switches(3)))
    assert design.defining_relation == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": switches(7), "runs": 8, "resolution": 4}, "resolution IV does not exist .the highest is III"),
        ({"factors": switches(5), "runs": 8, "resolution": 5}, "resolution V does not exist"),
        ({"factors": switches(8), "runs": 8}, "the highest is none"),
        ({"factors": switches(3), "runs": 6}, r"runs must be a power of 2 up to 2\^3 for 3 factors.*got 6"),
        ({"factors": switches(3), "runs": 0}, "runs must be a power of 2"),
        ({"factors": switches(3), "runs": 16}, "runs must be a power of 2"),
        ({"factors": (RATE, EPOCHS), "runs": 2}, "needs factors of 2 levels, but rate"),
    ],
)
def test_fractions_that_do_not_exist(options, message):
    with pytest.raises(DesignError, match=message):
        FractionalFactorial(**options)


def test_aliases_are_of_factors_that_there_are():
    with pytest.raises(DesignError, match="an effect must name factors of A, B, C, but got"):
        FractionalFactorial(factors=switches(3), runs=4).aliases("D")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Factor.of("epochs", 1), r"factor epochs needs at least 2 different levels, but got \[1\]"),
        (lambda: Factor.of("epochs", 1, 1), "at least 2 different levels"),
        (lambda: Factorial(factors=()), r"needs factors with different names, but got \[\]"),
        (lambda: Factorial(factors=(SC, SC)), "factors with different names"),
        (
            lambda: Factorial(factors=(EPOCHS, Factor.of("epochs", 1, 2, name="again"))),
            r"must change different fields, but again too changes \['epochs'\]",
        ),
        (
            lambda: Factorial(factors=(SC,), published={"PAD": "x"}),
            "published rows must be of arms .none, SC.",
        ),
    ],
)
def test_designs_that_say_nothing_are_errors(make, message):
    with pytest.raises(DesignError, match=message):
        make()


def test_a_factor_that_changes_nothing_is_an_error_at_planning_time():
    same = Factor(name="same", label="", levels=(Level(value=1, changes={}), Level(value=2, changes={"epochs": 100})))
    with pytest.raises(AblationError, match="factor same: levels 1, 2 change nothing in the base"):
        ablation(OneFactorAtATime(factors=(same,))).configs(PromptADConfig())
    with pytest.raises(AblationError, match="config has no field epoch"):
        ablation(OneFactorAtATime(factors=(Factor.of("epoch", 1, 2),))).configs(PromptADConfig())
    with pytest.raises(AblationError, match="epochs must be int, but got 'many'"):
        ablation(OneFactorAtATime(factors=(Factor.of("epochs", 100, "many"),))).configs(PromptADConfig())


def test_levels_say_all_that_they_mean_so_that_no_base_can_change_it():
    configs = ablation(OneFactorAtATime(factors=(RATE,))).configs(PromptADConfig(learning_rate=0.2))
    assert [config.learning_rate for config in configs.values()] == [0.002, 0.02, 0.2]


def test_published_rows_reach_their_arms():
    row = PrintedRow.of("PromptAD", sc=True)
    design = Factorial(factors=(SC, EAM), published={"SC": row})
    assert [arm.published for arm in design.arms] == [None, None, row, None]


def test_factors_of_a_table_are_read_off_its_arms():
    rows = (
        Arm(name="a", label="", factors={"SC": True, "N": 2}),
        Arm(name="b", label="", factors={"SC": None, "N": 1}),
        Arm(name="c", label="", factors={"SC": False, "N": 2}),
    )
    assert ablation(PaperTable(rows=rows, baseline=None)).factors() == {"SC": [True, False], "N": [2, 1]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ("auroc",)}, "metrics must be some of image_auroc, .* but got 'auroc'"),
        ({"shots": ()}, "shots must name at least one number"),
    ],
)
def test_an_ablations_own_words_are_checked(options, message):
    with pytest.raises(AblationError, match=message):
        Ablation(name="test", title="", question="", design=Factorial(factors=(SC,)), **options)
