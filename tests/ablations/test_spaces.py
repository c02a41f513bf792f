import pytest

from ablations import Choice, Depths, FloatRange, IntRange, Level, Parameter, Space, SpaceError, When
from ablations.loading import named_space
from ablations.ours.ready_spaces import FULL, PAPER, SPACES
from promptad.configs.promptad_config import PromptADConfig

LAPS = Parameter(name="laps", label="LAPs", domain=Choice.of("laps", True, False))
L = Parameter(name="L", label="L", domain=IntRange(low=1, high=4), fields=("n_anomaly_suffixes",))
RATE = Parameter(name="rate", label="rate", domain=FloatRange(low=0.001, high=0.1, log=True), fields=("learning_rate",))


def given(parameter, when):
    return Parameter(name=parameter.name, label="", domain=parameter.domain, fields=parameter.fields, when=when)


def space(*parameters):
    return Space(name="mine", title="", parameters=parameters)


def test_a_finite_space_counts_a_conditional_parameter_only_where_it_is_active():
    # Four values of L with LAPs, one setting without.
    assert space(LAPS, given(L, When(parent="laps", values=(True,)))).size() == 5
    assert space(L).size() == 4
    epochs = Parameter(name="E", label="", domain=IntRange(low=2, high=8, step=3), fields=("epochs",))
    assert epochs.domain.values == (2, 5, 8)
    assert space(epochs).size() == 3
    assert space(L, RATE).size() is None


@pytest.mark.slow
@pytest.mark.parametrize("ready", SPACES.values(), ids=list(SPACES))
@pytest.mark.parametrize("blocks", [5, 12])
def test_ready_spaces_fit_the_papers_config(ready, blocks):
    ready.check(PromptADConfig(), blocks=blocks)


def test_the_papers_values_are_known():
    assert {parameter.name: parameter.paper_value() for parameter in PAPER.parameters} == {
        "lambda": 0.001,
        "N": 1,
        "L": 4,
    }
    assert FULL.parameter("anomaly_prompts").paper_value() == "both"
    assert FULL.parameter("memory").paper_value() == "default"
    assert PAPER.paper_values() == {"lambda": 0.001, "N": 1, "L": 4}
    assert PromptADConfig() == PromptADConfig().with_changes(FULL.changes(FULL.paper_values()))


def test_values_become_changes_of_the_config():
    assert PAPER.changes({"lambda": 0.1, "N": 2, "L": 3}) == {
        "align_weight": 0.1,
        "n_normal_prompts_image": 2,
        "n_normal_prompts_pixel": 2,
        "n_anomaly_suffixes": 3,
    }
    layers = Choice(
        levels=(
            Level(value="a", changes={"memory_layers": Depths((6, 9), of=12)}),
            Level(value="b", changes={"memory_layers": (1,)}),
        )
    )
    assert space(Parameter(name="m", label="", domain=layers)).changes({"m": "a"}, blocks=4) == {
        "memory_layers": (2, 3)
    }


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ((), "a space needs parameters with different names, but got"),
        ((L, L), "a space needs parameters with different names"),
        (
            (Parameter(name="x", label="", domain=FloatRange(low=2, high=1), fields=("learning_rate",)),),
            "parameter x: its range must not be empty, but is 2 to 1",
        ),
        (
            (Parameter(name="x", label="", domain=IntRange(low=1, high=1), fields=("epochs",)),),
            "its range must not be empty, but is 1 to 1",
        ),
        (
            (Parameter(name="x", label="", domain=IntRange(low=1, high=4, step=2), fields=("epochs",)),),
            "its step must divide 3, but is 2",
        ),
        (
            (Parameter(name="x", label="", domain=FloatRange(low=0, high=1, log=True), fields=("align_weight",)),),
            "a log range must begin above 0",
        ),
        (
            (Parameter(name="x", label="", domain=IntRange(low=0, high=4, log=True), fields=("epochs",)),),
            "a log range must begin at 1",
        ),
        ((Parameter(name="x", label="", domain=Choice.of("sc", True)),), "it must have at least 2 values"),
        ((Parameter(name="x", label="", domain=Choice.of("epochs", 3, 3)),), "its values must be different"),
        ((Parameter(name="x", label="", domain=Choice.of("memory_layers", (1,), (2,))),), "give such a level a name"),
        (
            (Parameter(name="x", label="", domain=IntRange(low=1, high=2), fields=("lambda",)),),
            "there is no config field lambda; there are sc, ",
        ),
        ((Parameter(name="x", label="", domain=IntRange(low=1, high=2)),), "it must set a config field"),
        (
            (given(L, When(parent="laps", values=(True,))),),
            r"it depends on laps, which is no parameter before it \(there is none\): add that toggle",
        ),
        ((LAPS, given(L, When(parent="laps", values=("yes",)))), "it depends on laps being one of"),
    ],
)
def test_a_space_that_does_not_say_what_it_means_is_an_error(parameters, message):
    with pytest.raises(SpaceError, match=message):
        space(*parameters)


@pytest.mark.parametrize(
    ("parameters", "base", "message"),
    [
        ((L,), {"laps": False}, "parameter L changes nothing in the base: a part that it belongs to is off there"),
        ((LAPS, L), {}, r"parameter L changes nothing where laps=False: give it when=When\(parent='laps'"),
        (
            (Parameter(name="x", label="", domain=IntRange(low=30, high=40), fields=("n_normal_tokens",)),),
            {},
            "parameter x: n_normal_tokens must be between 1 and 32",
        ),
        (
            (Parameter(name="x", label="", domain=Choice.of("transformation", "vv", "qq")),),
            {},
            "transformation must be one of",
        ),
    ],
)
def test_a_parameter_that_changes_nothing_or_fits_no_config_is_an_error(parameters, base, message):
    with pytest.raises(SpaceError, match=message):
        space(*parameters).check(PromptADConfig().with_changes(base))


def test_spaces_by_name(tmp_path):
    assert named_space("paper") is PAPER
    with pytest.raises(SpaceError, match="no search space is called papre; there are paper, prompt, full, or a file"):
        named_space("papre")
    path = tmp_path / "mine.py"
    path.write_text(
        "from ablations import IntRange, Parameter, Space\n"
        "MINE = Space(name='mine', title='', parameters=(Parameter(name='L', label='', "
        "domain=IntRange(low=1, high=3), fields=('n_anomaly_suffixes',)),))\n"
    )
    assert named_space(str(path)).size() == 3
    path.write_text("MINE = 1\n")
    with pytest.raises(SpaceError, match="must define one search space"):
        named_space(str(path))
    with pytest.raises(SpaceError, match="there is no such file"):
        named_space("other.py")


@pytest.mark.parametrize(
    ("unit", "domain", "value"),
    [
        (0.0, FloatRange(low=2.0, high=4.0), 2.0),
        (0.25, FloatRange(low=2.0, high=4.0), 2.5),
        (0.5, FloatRange(low=1e-4, high=1.0, log=True), 1e-2),
        (0.0, IntRange(low=1, high=4), 1),
        (0.26, IntRange(low=1, high=4), 2),
        (0.999, IntRange(low=1, high=4), 4),
        (0.999, IntRange(low=10, high=50, step=10), 50),
        (0.0, IntRange(low=1, high=100, log=True), 1),
        (0.999, IntRange(low=1, high=100, log=True), 100),
        (0.6, Choice.of("transformation", "a", "b"), "b"),
    ],
)
def test_a_coordinate_becomes_a_value_of_its_domain(unit, domain, value):
    found = domain.at(unit)
    assert found == (value if isinstance(value, str) else pytest.approx(value))


def test_a_sobol_design_has_the_base_and_a_power_of_two_of_settings():
    from ablations.sobol import SobolSet

    arms = SobolSet(space=PAPER, runs=8).arms
    assert [arm.name for arm in arms] == ["paper", *(f"setting {number}" for number in range(8))]
    assert arms[0].changes == {}
    assert set(arms[1].changes) == {
        "align_weight",
        "n_normal_prompts_image",
        "n_normal_prompts_pixel",
        "n_anomaly_suffixes",
    }
    with pytest.raises(ValueError, match="a power of 2 settings, but runs is 6"):
        SobolSet(space=PAPER, runs=6)
