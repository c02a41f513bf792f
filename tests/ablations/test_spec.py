import pytest

from ablations.arms import Arm
from ablations.catalogue import CATALOGUE, DEFAULT
from ablations.designs import PaperTable
from ablations.paper.tables import TABLE3
from ablations.spec import Ablation, AblationError
from promptad.configs.promptad_config import PromptADConfig


def ablation(*arms, baseline="base"):
    return Ablation(name="test", title="t", question="q", design=PaperTable(rows=arms, baseline=baseline))


BASE = Arm(name="base", label="base", changes={})


def test_arms_are_the_base_with_their_changes():
    configs = ablation(BASE, Arm(name="a", label="a", changes={"vad": False})).configs(PromptADConfig(epochs=7))
    assert configs == {"base": PromptADConfig(epochs=7), "a": PromptADConfig(epochs=7, vad=False)}


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ([Arm(name="a", label="", changes={"lamda": 1.0})], "arm a: config has no field lamda"),
        ([Arm(name="a", label="", changes={"vad": "no"})], "arm a: vad must be bool, but got 'no'"),
        ([Arm(name="a", label="", changes={"vad": True})], "arm a: vad already has this value"),
        (
            [
                Arm(name=n, label="", changes={"vad": False} | more)
                for n, more in (("a", {}), ("b", {"memory_layers": (1,)}))
            ],
            "arms a and b are the same experiment",
        ),
        ([BASE], "arms must have different names"),
    ],
)
def test_an_ablation_that_does_not_say_what_it_means_is_an_error(arms, message):
    with pytest.raises(AblationError, match=message):
        ablation(BASE, *arms).configs(PromptADConfig())


def test_all_problems_are_reported_at_once():
    wrong = [Arm(name="a", label="", changes={"vad": True}), Arm(name="b", label="", changes={"nothing": 1})]
    with pytest.raises(AblationError, match=r"(?s)'none' is no arm.*arm a.*arm b"):
        ablation(*wrong, baseline="none").configs(PromptADConfig())


def test_table3_is_the_papers():
    configs = TABLE3.configs(PromptADConfig())
    switches = {name: (config.sc, config.eam, config.vad) for name, config in configs.items() if config.pad}
    assert switches == {
        "none": (False, False, False),
        "sc": (True, False, False),
        "sc-eam": (True, True, False),
        "full": (True, True, True),
    }
    assert configs["vad"] == PromptADConfig(pad=False)
    ticks = {arm.name: tuple(arm.factors.values()) for arm in TABLE3.arms}
    assert ticks == {**switches, "vad": (False, False, True)}


def test_defaults_are_in_the_catalogue():
    assert set(DEFAULT) <= set(CATALOGUE)
    assert all(name == ablation.name for name, ablation in CATALOGUE.items())
