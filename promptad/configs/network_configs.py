"""Hyperparameters of the methods of Table 2 that learn a small network on normal images: SimpleNet, DifferNet, MKD."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from promptad.configs.method_config import MethodConfig, Task
from promptad.configs.shared_config import Activations, MemoryConfig, problems_below


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleNetConfig(MemoryConfig):
    """SimpleNet (Liu et al., CVPR 2023); see ``promptad/methods/simplenet.py``."""

    learns: ClassVar[bool] = True

    activations: Activations = "unit"
    """Whether each layer's patches are l2-normalised, or as the tower makes them (the paper's)."""
    neighbourhood: int = 3
    """p: side in patches of the window whose mean makes a patch locally aware; odd."""
    hidden_width: int = 1024
    """Width of the discriminator's hidden layer."""
    noise_in_rms: float = 0.1
    """sigma of the noise that makes a normal patch anomalous, in units of the support patches' root mean square."""
    noise: float | None = None
    """sigma as a number in place of ``noise_in_rms`` (the paper's: 0.015, for a wide ResNet-50's raw activations)."""
    threshold: float = 0.5
    """th of the loss: patches that the discriminator scores beyond it, on the right side, no longer count."""
    steps: int = 600
    """Steps of learning. The paper's 160 epochs are 160 steps with up to ``batch`` support images, and about 4800 with
    a whole category of MVTec AD."""
    rounds: int = 40
    """Parts of the learning after each of which the network may be selected (``selection``), as in the paper."""
    batch: int = 8
    """Most images of a step."""
    discriminator_step_size: float = 2e-4
    """Adam's learning rate."""
    discriminator_decay: float = 1e-5
    """Weight decay of the discriminator, added to its gradient."""
    adaptor_step_size: float = 1e-4
    """AdamW's learning rate for the adaptor."""
    adaptor_decay: float = 0.01
    """Weight decay of the adaptor, apart from its gradient."""

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain."""
        problems = [
            *MemoryConfig.domain_problems(self),
            *problems_below(self, {"hidden_width": 1, "steps": 1, "rounds": 1, "batch": 1}),
            *_not_positive(self, "noise_in_rms", "threshold", "discriminator_step_size", "adaptor_step_size"),
            *_negative(self, "discriminator_decay", "adaptor_decay"),
        ]
        if self.noise is not None:
            problems += _not_positive(self, "noise")
        if not (self.neighbourhood >= 1 and self.neighbourhood % 2 == 1):
            problems.append(f"neighbourhood must be odd and positive, but got {self.neighbourhood}")
        return problems

    def inert(self, task: Task) -> frozenset[str]:
        """A number stands in place of the noise's unit; rounds matter where one is selected."""
        unused = {"noise_in_rms"} if self.noise is not None else set()
        return MemoryConfig.inert(self, task) | unused | _unused_rounds(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferNetConfig(MethodConfig):
    """DifferNet (Rudolph et al., WACV 2021), Table 2's DiffNet; see ``promptad/methods/differnet.py``."""

    learns: ClassVar[bool] = True

    activations: Activations = "raw"
    """Whether global features are l2-normalised, or as the tower makes them (the paper's)."""
    copies: int = 8
    """Turned copies of each image, of the support and of queries (the paper's: 4 random ones of a support image in each
    epoch, 64 of a query)."""
    blocks: int = 8
    """Coupling blocks of the flow."""
    width: int = 256
    """Width of the hidden layers in a coupling block (the paper's: 2048)."""
    clamp: float = 3.0
    """Bound of the logarithm by which a coupling scales, softly reached."""
    steps: int = 192
    """Steps of learning: the paper's epochs, where the support's copies fit into ``batch``."""
    rounds: int = 24
    """Parts of the learning after each of which the flow may be selected (``selection``)."""
    batch: int = 96
    """Most copies of a step (the paper's: 24 images with 4 copies each)."""
    step_size: float = 2e-4
    """Adam's learning rate."""
    decay: float = 1e-5
    """Weight decay, added to the gradient."""

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain."""
        least = {"copies": 1, "blocks": 1, "width": 1, "steps": 1, "rounds": 1, "batch": 1}
        return [
            *MethodConfig.domain_problems(self),
            *problems_below(self, least),
            *_not_positive(self, "clamp", "step_size"),
            *_negative(self, "decay"),
        ]

    def inert(self, task: Task) -> frozenset[str]:
        """Rounds matter where one is selected."""
        return MethodConfig.inert(self, task) | _unused_rounds(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MKDConfig(MemoryConfig):
    """MKD (Salehi et al., CVPR 2021); see ``promptad/methods/mkd.py``."""

    learns: ClassVar[bool] = True

    distance_weight: float = 0.5
    """lambda: what the mean squared distance of two maps counts beside one minus their cosine."""
    gradient: Literal["plain", "guided"] = "plain"
    """How the score's gradient passes the student's ReLUs: as it is, or where it is positive alone."""
    steps: int = 600
    """Steps of learning: about the paper's 601 epochs, where the support fits into ``batch``."""
    rounds: int = 24
    """Parts of the learning after each of which the student may be selected (``selection``)."""
    batch: int = 16
    """Most images of a step: at 240 pixels as many pixels as the paper's 64 images of 128 have."""
    step_size: float = 1e-3
    """Adam's learning rate."""

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain."""
        return [
            *MemoryConfig.domain_problems(self),
            *problems_below(self, {"steps": 1, "rounds": 1, "batch": 1}),
            *_not_positive(self, "step_size"),
            *_negative(self, "distance_weight"),
        ]

    def inert(self, task: Task) -> frozenset[str]:
        """The gradient makes maps; rounds matter where one is selected."""
        unused = {"gradient"} if task == "image" else set()
        return MemoryConfig.inert(self, task) | unused | _unused_rounds(self)


def _unused_rounds(config: MethodConfig) -> set[str]:
    return {"rounds"} if config.selection == "last" else set()


def _not_positive(config: MethodConfig, *names: str) -> list[str]:
    return [
        f"{name} must be positive and finite, but got {getattr(config, name)}"
        for name in names
        if not 0 < getattr(config, name) < float("inf")
    ]


def _negative(config: MethodConfig, *names: str) -> list[str]:
    return [
        f"{name} must be finite and not negative, but got {getattr(config, name)}"
        for name in names
        if not 0 <= getattr(config, name) < float("inf")
    ]
