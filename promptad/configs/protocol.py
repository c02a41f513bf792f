"""The released code's departures from the paper, as data: which config fields they set, and what to call them.

A protocol is a set of config values, nothing else: a row's label is computed from its config, so it cannot differ
from the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from promptad.configs.method_config import MethodConfig
from promptad.configs.promptad_config import PromptADConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """One departure of the released code: its number, what it is, and the config values that switch it on."""

    number: str
    title: str
    changes: Mapping[str, object]


DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        number="D1",
        title="raw logit_scale as temperature, exp() missing",
        changes={"temperature": "raw_parameter"},
    ),
    Deviation(number="D2", title="the best epoch is picked on the test set", changes={"selection": "best_on_test"}),
    Deviation(number="D3", title="test images in BGR", changes={"query_channels": "bgr"}),
    Deviation(
        number="D4",
        title="learnable suffix before the object's name",
        changes={"learnable_suffix_position": "before_object"},
    ),
    Deviation(number="D5", title="eight generic suffixes", changes={"generic_suffixes": "reference"}),
    Deviation(
        number="D6",
        title="squared margin distance summed over the second axis",
        changes={"margin_distance": "squared_over_second_axis"},
    ),
    Deviation(
        number="D7", title="alignment of means of normalised features", changes={"alignment": "means_of_normalised"}
    ),
    Deviation(number="D8", title="prefix and suffix paired by i mod N, i mod L", changes={"pairing": "modulo"}),
    Deviation(number="D9", title="three normal prompts for the image task", changes={"n_normal_prompts_image": 3}),
    Deviation(number="D10", title="fp16 weights and activations", changes={"precision": "fp16"}),
    Deviation(number="D11", title="one fixed support set for all seeds", changes={"support_draw": "fixed"}),
    Deviation(number="D12", title="squash via 1024x1024, aspect ratio lost", changes={"resize": "squash_via_1024"}),
    Deviation(number="D13", title="maps at 400x400, Gaussian sigma 4", changes={"map_size": 400, "map_smoothing": 4.0}),
    Deviation(number="D14", title="maximum of the visual map after upsampling", changes={"visual_maximum": "map_size"}),
    Deviation(
        number="D16", title="cosine annealing to 1e-5 over the epochs", changes={"learning_rate_schedule": "cosine"}
    ),
    Deviation(
        number="D19",
        title="mapped class names and a full stop",
        changes={"prompt_text": "mapped_with_full_stop"},
    ),
    Deviation(
        number="D20",
        title="memory features include the next block's attention",
        changes={"memory_tap": "after_next_attention"},
    ),
)
"""D15 (what V-V attention is) and D17 (a training per task) are the same in both protocols, and D18 (which metrics)
changes no number; D20 was found by comparing features with the released code's.

D21 has no switch: the released code takes a mask to 1024x1024 and then to 400x400 by OpenCV's nearest neighbour, which
reads the pixel at the top left of a cell; here a mask is read once, at the centre of each cell, in every protocol. The
two places are some 0.7 map pixels apart, at the borders of defects.
"""

MOST_MISSING = 3
"""Largest number of missing deviations for a config that is named after the reference."""

PROTOCOLS: Mapping[str, Mapping[str, object]] = {
    "paper": {},
    "reference": {name: value for deviation in DEVIATIONS for name, value in deviation.changes.items()},
}
"""Config values of the two named protocols; ``paper`` is the config's defaults."""


def protocol_config(protocol: str) -> PromptADConfig:
    """The full config of a named protocol.

    Raises:
        ValueError: a name that is not in ``PROTOCOLS``.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, but got {protocol!r}")
    return PromptADConfig().with_changes(PROTOCOLS[protocol])


def departures(config: MethodConfig) -> tuple[str, ...]:
    """Numbers of the deviations in force: those with any field at the released code's value.

    A method without such a field cannot depart in it.
    """
    return tuple(
        deviation.number
        for deviation in DEVIATIONS
        if any(getattr(config, name, None) == value for name, value in deviation.changes.items())
    )


def other_settings(config: PromptADConfig) -> dict[str, object]:
    """Fields that are neither the paper's default nor the released code's by a deviation in force, with their values.

    Without any, the config is the paper's, the released code's, or one between them.
    """
    in_force = departures(config)
    explained = {
        name: value
        for deviation in DEVIATIONS
        if deviation.number in in_force
        for name, value in deviation.changes.items()
    }
    defaults = PromptADConfig()
    return {
        name: value
        for name in PromptADConfig.field_names()
        if (value := getattr(config, name)) not in (getattr(defaults, name), explained.get(name))
    }


def missing_deviations(config: MethodConfig) -> tuple[str, ...]:
    """Numbers of the deviations that are not in force."""
    in_force = departures(config)
    return tuple(deviation.number for deviation in DEVIATIONS if deviation.number not in in_force)


def nearest_protocol(config: MethodConfig) -> Literal["paper", "reference"]:
    """The protocol after which a config is named: the released code's if few of its deviations are missing."""
    return "reference" if len(missing_deviations(config)) <= MOST_MISSING else "paper"


def is_paper(config: PromptADConfig) -> bool:
    """Whether every field is the paper's."""
    return not departures(config) and not other_settings(config)


def protocol_name(config: PromptADConfig) -> str:
    """``paper`` or ``reference`` with their differences, and every other field that is not the default.

    For example ``paper + D2, D5``, ``reference without D11`` or ``paper with epochs=50``.
    """
    in_force, missing = departures(config), missing_deviations(config)
    name: str = nearest_protocol(config)
    match nearest_protocol(config):
        case "reference":
            name += f" without {', '.join(missing)}" if missing else ""
        case "paper":
            name += f" + {', '.join(in_force)}" if in_force else ""
    # One field of a deviation may be the paper's: the number alone would state that all are the code's.
    partly = {
        field: getattr(config, field)
        for deviation in DEVIATIONS
        if deviation.number in in_force
        for field, value in deviation.changes.items()
        if getattr(config, field) != value
    }
    others = [f"{field}={_text(value)}" for field, value in (other_settings(config) | partly).items()]
    return f"{name} with {', '.join(others)}" if others else name


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
