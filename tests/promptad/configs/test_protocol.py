"""The released code's departures, as config values."""

import pytest

from promptad.configs.promptad_config import PromptADConfig
from promptad.configs.protocol import DEVIATIONS, PROTOCOLS, departures, other_settings, protocol_config, protocol_name

NUMBERS = ["D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "D9", "D10", "D11", "D12", "D13", "D14", "D16", "D19", "D20"]


def test_deviations_are_numbered_once_and_in_order():
    assert [deviation.number for deviation in DEVIATIONS] == NUMBERS
    assert all(deviation.title for deviation in DEVIATIONS)


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda deviation: deviation.number)
def test_a_deviation_sets_existing_fields_to_other_values_and_is_recognised(deviation):
    default = PromptADConfig()
    assert deviation.changes
    for name, value in deviation.changes.items():
        assert name in PromptADConfig.field_names()
        assert getattr(default, name) != value
    config = default.with_changes(deviation.changes)
    assert departures(config) == (deviation.number,)
    assert protocol_name(config) == f"paper + {deviation.number}"


def test_no_field_belongs_to_two_deviations():
    fields = [name for deviation in DEVIATIONS for name in deviation.changes]
    assert len(fields) == len(set(fields))


def test_paper_is_the_default():
    assert protocol_config("paper") == PromptADConfig()
    assert departures(PromptADConfig()) == ()
    assert protocol_name(PromptADConfig()) == "paper"


def test_reference_is_every_deviation():
    config = protocol_config("reference")
    assert departures(config) == tuple(NUMBERS)
    assert protocol_name(config) == "reference"
    assert set(PROTOCOLS["reference"]) == {name for deviation in DEVIATIONS for name in deviation.changes}
    assert (config.map_size, config.map_smoothing, config.n_normal_prompts_image) == (400, 4.0, 3)
    assert (config.temperature, config.precision, config.resize) == ("raw_parameter", "fp16", "squash_via_1024")


def test_a_deviation_of_two_fields_is_in_force_with_either():
    assert departures(PromptADConfig(map_size=400)) == ("D13",)
    assert departures(PromptADConfig(map_smoothing=4.0)) == ("D13",)
    assert departures(PromptADConfig(map_smoothing=2.0)) == ()


def test_hyperparameters_are_no_departures():
    assert departures(PromptADConfig(n_normal_prompts_image=2, epochs=3, vad=False, memory_layers=(1,))) == ()


def test_name_lists_several_departures_in_order():
    config = PromptADConfig(generic_suffixes="reference", selection="best_on_test")
    assert protocol_name(config) == "paper + D2, D5"


def test_the_reference_without_few_deviations_is_called_so():
    def without(number):
        changes = {name: value for each in DEVIATIONS[number:] for name, value in each.changes.items()}
        return PromptADConfig().with_changes(changes)

    assert protocol_name(without(3)) == "reference without D1, D2, D3"
    assert protocol_name(without(4)) == f"paper + {', '.join(NUMBERS[4:])}"


def test_other_settings_are_neither_the_papers_nor_the_released_codes():
    assert other_settings(PromptADConfig()) == other_settings(protocol_config("reference")) == {}
    config = PromptADConfig(selection="best_on_test", map_size=300, vad=False, resize="squash", tau=0.5)
    assert other_settings(config) == {"vad": False, "tau": 0.5, "resize": "squash", "map_size": 300}


def test_unknown_protocol():
    with pytest.raises(ValueError, match="protocol must be one of paper, reference, but got 'released'"):
        protocol_config("released")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"epochs": 50}, "paper with epochs=50"),
        ({"map_size": 300, "vad": False}, "paper with vad=false, map_size=300"),
        ({"selection": "best_on_test", "align_weight": 0.1}, "paper + D2 with align_weight=0.1"),
        ({**PROTOCOLS["reference"], "epochs": 5}, "reference with epochs=5"),
        ({**PROTOCOLS["reference"], "support_draw": "per_seed"}, "reference without D11"),
        ({**PROTOCOLS["reference"], "resize": "squash"}, "reference without D12 with resize=squash"),
        ({**PROTOCOLS["reference"], "tau": 0.07}, "reference with tau=0.07"),
        ({"margin": 0.1, "resize": "squash"}, "paper with margin=0.1, resize=squash"),
        ({"map_smoothing": 4.0}, "paper + D13 with map_size=240"),
        ({**PROTOCOLS["reference"], "map_size": 240}, "reference with map_size=240"),
        ({"map_size": 300, "map_smoothing": 4.0}, "paper + D13 with map_size=300"),
    ],
)
def test_no_changed_field_goes_unnamed(changes, name):
    assert protocol_name(PromptADConfig().with_changes(changes)) == name
