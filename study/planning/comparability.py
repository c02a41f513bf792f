"""Decides whether a printed number and a measured one answer the same question.

The decision uses typed facts of the arm, the column, the data and the request, when a study is planned. Obstacles
are stored beside each printed number; reports give a verdict only where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ablations.arms import PAPER_ARCHITECTURE, PAPER_BACKBONE, PAPER_TAG, Arm
from ablations.published import PublishedCell
from ablations.shots import Setting
from promptad.backbones.backbone_names import BackboneName
from promptad.configs.method_config import MethodConfig, Task
from promptad.datasets import full_set_of, known_sets
from study.planning.arm_backbones import PlannedBackbone
from study.planning.shots import shots_of

Reason = Literal[
    "not_run",
    "other_data",
    "partial_data",
    "random_weights",
    "other_weights",
    "unnamed_weights",
    "imagenet",
    "abstract",
    "excerpts",
    "unstated_metric",
    "unprinted_prompts",
    "settings",
    "other_shots",
    "named_support",
    "named_suffixes",
    "one_support_set",
    "one_model",
]

REASONS: Mapping[Reason, str] = {
    "not_run": "The row has no cells here.",
    "other_data": "The paper prints the number for another data set.",
    "partial_data": "Not the whole published data set: categories or test images are missing, or others are there.",
    "random_weights": "The row's weights are random.",
    "other_weights": "The row's weights are not those that the paper names, by tag or by the file's digest.",
    "unnamed_weights": "The paper does not name the weights of this backbone; the ones here are a choice.",
    "imagenet": "The paper took the number from runs of another paper, on a CNN trained on ImageNet.",
    "abstract": "The method is built from an abstract; the rest of it is a choice.",
    "excerpts": "The method is built from an abstract, captions and the notes of others; the rest of it is a choice.",
    "unstated_metric": "The paper does not say how this method gives the metric; the way here is a choice.",
    "unprinted_prompts": "The paper does not print the prompts of the number; the ones here are a choice.",
    "settings": "Fields of the config are neither the paper's nor the released code's.",
    "other_shots": "The paper prints the number for another number of support images.",
    "named_support": "The support images are a list of the user's.",
    "named_suffixes": "The anomaly suffixes are the user's.",
    "one_support_set": "All seeds share one support set, so that nothing is known of the spread over draws.",
    "one_model": "One model serves all categories; the paper does not say that its number is of such a model.",
}
"""Every reason for which a printed number gets no verdict, and what it means; docs/report.md lists them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why a printed number gets no verdict: the kind, and a clause that names the values at hand."""

    reason: Reason
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """The data of a study: ``name`` is the layout's, ``paper_sets`` are those that the paper shows the table for.

    ``test_images`` counts by category.
    """

    name: str
    title: str
    paper_sets: tuple[str, ...]
    test_images: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmFacts:
    """An arm as it will run. ``config`` is its config before it is made canonical, ``other_settings`` the base's.

    ``named_support`` and ``named_suffixes`` are categories for which the user named them; ``one_support_set`` those
    in which all seeds of the column see the same support images. ``pool`` are the categories that one model of the arm
    is learned from, empty where each has its own.
    """

    arm: Arm
    config: MethodConfig
    backbone: PlannedBackbone
    other_settings: Mapping[str, object]
    named_support: tuple[str, ...]
    named_suffixes: tuple[str, ...]
    one_support_set: tuple[str, ...]
    pool: tuple[str, ...] = ()


def obstacles(
    number: PublishedCell, column: Setting, task: Task, facts: ArmFacts | None, data: DataFacts
) -> tuple[Obstacle, ...]:
    """Everything that prevents a comparison of a printed number with an arm's in a column; empty if nothing does.

    ``facts`` is None for an arm without cells.
    """
    if facts is None:
        return (Obstacle(reason="not_run", text="this row is not run here"),)
    found = [*_of_data(number, data), *_of_weights(facts), *_of_method(number, facts)]
    canonical = facts.config.canonical(task)
    # A field that cannot influence the task was reset to its default; a pool has an obstacle of its own.
    matter = {
        name: value
        for name, value in facts.other_settings.items()
        if getattr(canonical, name) == value and name != "setting"
    }
    if matter:
        changed = ", ".join(f"{name}={value}" for name, value in matter.items())
        found.append(Obstacle(reason="settings", text=f"settings other than the paper's ({changed})"))
    if facts.pool:
        text = f"one model for {len(facts.pool)} categories, which the paper does not say of its number"
        found.append(Obstacle(reason="one_model", text=text))
    if canonical.sees_support:
        found += _of_support(number, column, facts)
    if facts.named_suffixes and canonical.uses_suffixes:
        named = ", ".join(facts.named_suffixes)
        found.append(Obstacle(reason="named_suffixes", text=f"suffixes of the user's ({named})"))
    return tuple(found)


def _of_data(number: PublishedCell, data: DataFacts) -> list[Obstacle]:
    known = full_set_of(data.name)
    if known is None or number.dataset != known.name or known.name not in data.paper_sets:
        title = known_sets()[number.dataset].title
        return [Obstacle(reason="other_data", text=f"printed for {title}, measured on {data.title}")]
    counts = data.test_images
    if number.category is not None:
        # A number of one category needs that category whole, and no other.
        known_one = {each.name: each.test for each in known.categories}.get(number.category)
        if counts.get(number.category) == known_one:
            return []
        text = f"{counts.get(number.category, 0)} of {known_one} test images of {number.category}"
        return [Obstacle(reason="partial_data", text=text)]
    if different := known.differences(counts):
        return [Obstacle(reason="partial_data", text="; ".join(different))]
    return []


def _of_weights(facts: ArmFacts) -> list[Obstacle]:
    measured, backbone = facts.arm.measured, facts.backbone
    if backbone.name.is_random:
        return [Obstacle(reason="random_weights", text=f"random weights ({backbone.text})")]
    if measured.weights == "imagenet":
        where = "here they are CLIP's" if not backbone.name.is_cnn else "under that paper's settings"
        return [
            Obstacle(
                reason="imagenet",
                text=f"the paper's number is from other runs, on features of a CNN trained on ImageNet; {where}",
            )
        ]
    if measured.weights == "unnamed":
        return [
            Obstacle(
                reason="unnamed_weights",
                text=f"the paper does not name its weights of this backbone ({backbone.name.label} here is a choice)",
            )
        ]
    if not is_papers(backbone):
        return [
            Obstacle(
                reason="other_weights",
                text=f"weights ({_weights_text(backbone.name)}; the paper's are {PAPER_BACKBONE})",
            )
        ]
    return []


def is_papers(backbone: PlannedBackbone) -> bool:
    """Whether the weights are those that the paper names: fetched by their tag, or a file with their digest."""
    return backbone.name.architecture == PAPER_ARCHITECTURE and backbone.tag == PAPER_TAG


def _weights_text(name: BackboneName) -> str:
    return name.label if name.is_tiny else f"{name.architecture}, {name.label}"


def _of_method(number: PublishedCell, facts: ArmFacts) -> list[Obstacle]:
    measured, method = facts.arm.measured, facts.arm.method
    found = []
    if measured.described == "abstract":
        found.append(Obstacle(reason="abstract", text=f"{method} is built from its abstract alone"))
    if measured.described == "excerpts":
        text = f"{method}: its paper's abstract and captions, and notes of others, are all that was at hand"
        found.append(Obstacle(reason="excerpts", text=text))
    if number.metric in measured.unstated:
        text = f"the paper does not say how {method} gives this metric; the way here is a choice"
        found.append(Obstacle(reason="unstated_metric", text=text))
    if measured.prompts == "unprinted":
        text = f"the paper does not print {method}'s prompts of this number; the ones here are a choice"
        found.append(Obstacle(reason="unprinted_prompts", text=text))
    return found


def _of_support(number: PublishedCell, column: Setting, facts: ArmFacts) -> list[Obstacle]:
    found = []
    shots = shots_of(facts.arm, column)
    if number.shots != shots:
        found.append(Obstacle(reason="other_shots", text=f"printed for {number.shots}-shot, measured at {shots}-shot"))
    if facts.named_support:
        text = f"support images named by the user ({', '.join(facts.named_support)})"
        found.append(Obstacle(reason="named_support", text=text))
    if facts.one_support_set:
        text = "one support set for all seeds"
        found.append(Obstacle(reason="one_support_set", text=text))
    return found
