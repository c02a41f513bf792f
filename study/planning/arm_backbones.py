"""The backbone of each arm of an ablation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ablations.spec import Ablation
from promptad.backbones.backbone import check_weights, weights_digest
from promptad.backbones.backbone_names import BackboneName, activation_of, file_spelling, parse_backbone, tag_of
from promptad.backbones.known_weights import Activation
from promptad.backbones.weights_files import weights_are_here


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBackbone:
    """A backbone as cells name it: what the user wrote, its parts, and the digest of its weights.

    ``tag`` is open_clip's tag of the weights, named by the user or recognised because the file equals it byte by byte;
    None for ``tiny``, random weights, unknown files and CNNs. ``activation`` is what the towers run; None for CNNs.
    """

    text: str
    name: BackboneName
    weights: str
    tag: str | None
    activation: Activation | None

    @classmethod
    def of(cls, text: str) -> Self:
        """The backbone of a name; missing weights are downloaded. Raises ``BackboneError`` as below.

        It checks here that the weights fit the architecture, so that no cell fails on them.
        """
        name = parse_backbone(text)
        weights = weights_digest(name)
        check_weights(name)
        return cls(
            text=str(name) if name.is_file else text,
            name=name,
            weights=weights,
            tag=tag_of(name),
            activation=activation_of(name),
        )


def absolute_backbone(text: str) -> str:
    """A backbone's name with the absolute path of its checkpoint: workers have another current folder.

    Raises:
        BackboneError: an unknown name, or a checkpoint that is not there.
    """
    name = parse_backbone(text)
    return str(name) if name.is_file else text


def weights_here(texts: Sequence[str]) -> list[str]:
    """The backbones whose weights need no network: they are checked before the data, others after.

    Raises:
        BackboneError: an unknown name, or a file that is no checkpoint.
    """
    return [text for text, name in [(text, parse_backbone(text)) for text in texts] if weights_are_here(name)]


def planned_backbones(texts: Sequence[str]) -> dict[str, PlannedBackbone]:
    """The backbones that a user names, by architecture; missing weights are downloaded.

    Raises:
        BackboneError: an unknown name, weights that cannot be downloaded, or a file with other weights.
    """
    planned = [PlannedBackbone.of(text) for text in texts]
    return {backbone.name.architecture: backbone for backbone in planned}


def arm_backbones(
    ablation: Ablation, study: PlannedBackbone, named: Mapping[str, PlannedBackbone]
) -> tuple[dict[str, PlannedBackbone], dict[str, str]]:
    """The backbone of each arm that can run, and the reason why each other one cannot, both by arm.

    ``named`` are the user's by architecture. An arm with a backbone of its own runs on the user's weights of that
    architecture, else on those it names if they are on this machine: nothing is fetched for one row of a table.
    """
    found: dict[str, PlannedBackbone] = {}
    reasons: dict[str, str] = {}
    for arm in ablation.arms:
        if arm.not_runnable:
            reasons[arm.name] = arm.not_runnable
            continue
        if arm.backbone is None:
            found[arm.name] = study
            continue
        name = parse_backbone(arm.backbone)
        if name.architecture in named:
            found[arm.name] = named[name.architecture]
        elif weights_are_here(name):
            found[arm.name] = PlannedBackbone.of(arm.backbone)
        else:
            reasons[arm.name] = (
                f"its weights are not on this machine: add --backbone {arm.backbone} to fetch them, or "
                f"--backbone {file_spelling(name)}"
            )
    return found, reasons
