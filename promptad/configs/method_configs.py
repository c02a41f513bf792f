"""Hyperparameters of the methods that PromptAD is compared with, beside the protocol that all share.

They stand apart from the methods' code, so that whoever reads rows or plans a study need not load torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

from promptad.configs.method_config import ClassSetting, MethodConfig, Task, TowerFacts
from promptad.configs.shared_config import (
    Activations,
    MemoryConfig,
    PoolsCategories,
    TemperatureConfig,
    problems_below,
)
from promptad.configs.transformation_table import transformation_problems, unlearned
from promptad.texts.templates import N_TEMPLATES


@dataclass(frozen=True, slots=True, kw_only=True)
class CoresetConfig(MemoryConfig):
    """What methods share whose memory is a coreset of locally aware patches (PatchCore, sections 3.1 and 3.2)."""

    neighbourhood: int = 3
    """p: side in patches of the window whose mean makes a patch locally aware; odd."""
    coreset: float = 0.1
    """Fraction of the support's patches that the memory keeps: at least one, and at most ``most_entries``."""
    most_entries: int = 2_000
    """Most patches that the memory keeps: beyond, time and memory grow with the support images and no faster."""
    projection: int = 128
    """Channels of the random projection in which the coreset is chosen; narrower patches are not projected."""

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain."""
        problems = [*MemoryConfig.domain_problems(self), *problems_below(self, {"most_entries": 1, "projection": 1})]
        if not (self.neighbourhood >= 1 and self.neighbourhood % 2 == 1):
            problems.append(f"neighbourhood must be odd and positive, but got {self.neighbourhood}")
        if not 0 < self.coreset <= 1:
            problems.append(f"coreset must be above 0 and at most 1, but got {self.coreset}")
        return problems

    def entries(self, patches: int, _width: int) -> int:
        """How many of so many patches, of so many channels, the memory keeps."""
        return min(self.most_entries, max(1, round(self.coreset * patches)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCoreConfig(CoresetConfig):
    """PatchCore (Roth et al., CVPR 2022); see ``promptad/methods/patchcore.py``."""

    neighbours: int = 9
    """b of eq. 7: entries around the nearest one that weigh the image score."""
    image_score: Literal["weighted", "maximum"] = "weighted"
    """Eq. 7, or the largest distance of a patch alone (the released code's: of squares, which rank alike)."""
    activations: Activations = "unit"
    """Whether each layer's patches are l2-normalised, or as the tower makes them (the paper's)."""
    patch_pooling: Literal["mean", "reference"] = "mean"
    """How a window becomes a patch: its mean inside the image, layers side by side; or the released code's, in which
    windows with zeros around the image, and then layers, are pooled to ``pooled_width`` channels."""
    pooled_width: int = 1024
    """Channels of a patch where ``patch_pooling`` is ``reference``."""

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain."""
        return [*CoresetConfig.domain_problems(self), *problems_below(self, {"neighbours": 1, "pooled_width": 1})]

    def inert(self, task: Task) -> frozenset[str]:
        """The weight of eq. 7 is the image score's, and only the released code's patches have a width of their own."""
        inert = set(MemoryConfig.inert(self, task))
        if task == "pixel":
            inert |= {"neighbours", "image_score"}
        if self.image_score == "maximum":
            inert |= {"neighbours"}
        if self.patch_pooling == "mean":
            inert |= {"pooled_width"}
        return frozenset(inert)


@dataclass(frozen=True, slots=True, kw_only=True)
class SPADEConfig(MemoryConfig):
    """SPADE (Cohen and Hoshen, 2020); see ``promptad/methods/spade.py``."""

    images: int = 50
    """K: support images nearest to the query, whose mean distance is the image score and whose patches are used."""
    neighbours: int = 1
    """kappa of eq. 3: patches that a query patch is compared with."""

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain."""
        return [*MemoryConfig.domain_problems(self), *problems_below(self, {"images": 1, "neighbours": 1})]

    def inert(self, task: Task) -> frozenset[str]:
        """The image score takes the global feature alone."""
        return MemoryConfig.inert(self, task) | (
            {"neighbours", "memory_layers", "memory_tap"} if task == "image" else set()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaDiMConfig(MemoryConfig):
    """PaDiM (Defard et al., ICPR 2021); see ``promptad/methods/padim.py``."""

    dimensions: int = 100
    """How many channels are drawn; all if there are fewer."""
    regularisation: float = 0.01
    """epsilon of eq. 1, added to the diagonal: a covariance of few images is singular without it, in single precision
    below 1e-6."""

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain."""
        problems = [*MemoryConfig.domain_problems(self), *problems_below(self, {"dimensions": 1})]
        if not 1e-6 <= self.regularisation < float("inf"):
            problems.append(f"regularisation must be at least 1e-6 and finite, but got {self.regularisation}")
        return problems


@dataclass(frozen=True, slots=True, kw_only=True)
class FastReconConfig(CoresetConfig):
    """FastRecon (Fang et al., ICCV 2023): queries rebuilt from a coreset; see ``promptad/methods/fastrecon.py``."""

    distribution_weight: float = 2.0
    """lambda: how much a reconstruction is pulled towards its position's mean normal patch."""
    most_of_width: float = 0.5
    """Most entries of the coreset, as a fraction of the patches' channels: with as many as there are channels it spans
    all patches, whatever is in it, and a score is ``lambda / (1 + lambda)`` times the distance to the mean."""
    ridge: float = 1e-4
    """rho, in units of the patches' mean squared length: what makes the regression solvable, in double precision from
    1e-12 on."""

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain."""
        problems = CoresetConfig.domain_problems(self)
        if not 0 <= self.distribution_weight < float("inf"):
            problems.append(f"distribution_weight must be finite and not negative, but got {self.distribution_weight}")
        if not 0 < self.most_of_width < float("inf"):
            problems.append(f"most_of_width must be positive and finite, but got {self.most_of_width}")
        if not 1e-12 <= self.ridge < float("inf"):
            problems.append(f"ridge must be at least 1e-12 and finite, but got {self.ridge}")
        return problems

    def entries(self, patches: int, width: int) -> int:
        """How many of so many patches, of so many channels, the memory keeps: at least one (see ``most_of_width``)."""
        return min(CoresetConfig.entries(self, patches, width), max(1, int(self.most_of_width * width)))


@dataclass(frozen=True, slots=True, kw_only=True)
class WinCLIPConfig(TemperatureConfig):
    """WinCLIP (Jeong et al., CVPR 2023) without a support image; see ``promptad/methods/winclip.py``."""

    windows: tuple[int, ...] = (2, 3)
    """Sides of the windows in patches."""
    ensemble_templates: int = 22
    """As PromptAD's: how many templates CPE combines with its 11 states."""
    prompt_text: Literal["bare", "mapped_with_full_stop"] = "bare"
    """D19, as PromptAD's: which names categories have. CPE's texts end with a full stop in either case."""

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain."""
        problems = TemperatureConfig.domain_problems(self)
        if not self.windows or len(set(self.windows)) < len(self.windows) or min(self.windows) < 1:
            problems.append(f"windows must be different sizes from 1 patch on, but got {self.windows}")
        if not 1 <= self.ensemble_templates <= N_TEMPLATES:
            problems.append(
                f"ensemble_templates must be between 1 and {N_TEMPLATES}, but got {self.ensemble_templates}"
            )
        return problems

    def inert(self, task: Task) -> frozenset[str]:
        """No support image is seen, and the image score takes the global feature alone."""
        unseen = {"support_draw", "support_views"}
        return TemperatureConfig.inert(self, task) | unseen | ({"windows"} if task == "image" else set())

    @property
    def sees_support(self) -> bool:
        """Texts alone are compared with."""
        return False

    def tower_problems(self, arm: str, tower: TowerFacts) -> Iterator[str]:
        """A window lies on the patch grid."""
        if tower.grid is not None and max(self.windows) > tower.grid:
            sizes = ", ".join(map(str, self.windows))
            yield f"windows must be between 1 and {tower.grid} patches wide for {tower.text}, but arm {arm} has {sizes}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WinCLIPPlusConfig(WinCLIPConfig):
    """WinCLIP+: WinCLIP with support images as references."""

    @property
    def sees_support(self) -> bool:
        """References are support images."""
        return True

    def inert(self, task: Task) -> frozenset[str]:
        """Everything matters but the size of maps for images."""
        return TemperatureConfig.inert(self, task)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptLearningConfig(TemperatureConfig):
    """What other methods of prompt learning share with PromptAD: fields, defaults and meanings are its own.

    So a table that compares them varies the prompts, and neither the optimiser nor the local branch.
    """

    learns: ClassVar[bool] = True

    transformation: str = "vv"
    """CLIP transformation of the local branch; those that are learned are PromptAD's alone."""
    learning_rate: float = 0.002
    momentum: float = 0.9
    weight_decay: float = 0.0005
    epochs: int = 100
    """Steps of SGD, each on all support images."""
    initial_deviation: float = 0.02
    """Standard deviation of the normal distribution that learnable tokens are drawn from."""
    learning_rate_schedule: Literal["constant", "cosine"] = "constant"
    """D16, as PromptAD's."""
    prompt_text: Literal["bare", "mapped_with_full_stop"] = "bare"
    """D19, as PromptAD's."""

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain."""
        problems = TemperatureConfig.domain_problems(self)
        problems += transformation_problems(self.transformation, unlearned())
        for name in ("weight_decay", "initial_deviation", "epochs"):
            if not 0 <= getattr(self, name) < float("inf"):
                problems.append(f"{name} must be finite and not negative, but got {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            problems.append(f"learning_rate must be positive and finite, but got {self.learning_rate}")
        if not 0 <= self.momentum < 1:
            problems.append(f"momentum must be at least 0 and below 1, but got {self.momentum}")
        return problems

    def inert(self, task: Task) -> frozenset[str]:
        """The image score takes the global feature alone, and without an epoch nothing moves."""
        inert = TemperatureConfig.inert(self, task) | ({"transformation"} if task == "image" else set())
        if self.epochs == 0:
            inert |= {"learning_rate", "momentum", "weight_decay", "learning_rate_schedule", "selection"}
        return inert

    @property
    def learns_prompts(self) -> bool:
        """Always."""
        return True

    @property
    def learning_epochs(self) -> int:
        """Steps of SGD."""
        return self.epochs


@dataclass(frozen=True, slots=True, kw_only=True)
class CoCoOpConfig(PromptLearningConfig):
    """CoCoOp (Zhou et al., CVPR 2022); see ``promptad/methods/cocoop.py``."""

    n_normal_tokens: int = 4
    """Learnable tokens of the context, as PromptAD's in a prefix."""
    reduction: int = 16
    """How many times narrower than the image feature the meta-network's hidden layer is."""

    @property
    def context_length(self) -> int:
        """How many learnable tokens stand in front of a class."""
        return self.n_normal_tokens

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain."""
        return [
            *PromptLearningConfig.domain_problems(self),
            *between(1, 32, self, "n_normal_tokens"),
            *problems_below(self, {"reduction": 1}),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaPLeConfig(PoolsCategories, PromptLearningConfig):
    """MaPLe (Khattak et al., CVPR 2023); see ``promptad/methods/maple.py``."""

    n_context_tokens: int = 2
    """Learnable tokens in a prompt, and in each block with prompts, of either tower."""
    prompt_depth: int | None = None
    """J: how many blocks of either tower have prompts; None: 9 of 12, scaled to the shallower tower and rounded up."""
    setting: ClassSetting = "one_class"
    """As PromptAD's: prompts and couplings for each category, or one set of them for all."""

    @property
    def context_length(self) -> int:
        """How many learnable tokens stand in front of a class."""
        return self.n_context_tokens

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain; the towers' depth is checked later, with the backbone."""
        problems = [*PromptLearningConfig.domain_problems(self), *between(1, 32, self, "n_context_tokens")]
        problems += self.setting_problems()
        if self.prompt_depth is not None and self.prompt_depth < 1:
            problems.append(f"prompt_depth must be at least 1, but got {self.prompt_depth}")
        return problems

    def inert(self, task: Task) -> frozenset[str]:
        """Without an epoch nothing is learned that categories could share."""
        return PromptLearningConfig.inert(self, task) | ({"setting"} if self.epochs == 0 else set())

    def spelled_out(self, task: Task, tower: TowerFacts) -> Self:
        """The depth is the backbone's default where it is left open."""
        reduced = self.canonical(task)
        return reduced if self.prompt_depth else reduced.with_changes({"prompt_depth": tower.default_prompt_depth})

    def tower_problems(self, arm: str, tower: TowerFacts) -> Iterator[str]:
        """Each block with prompts is one of both towers."""
        if tower.prompt_blocks is not None and (self.prompt_depth or 1) > tower.prompt_blocks:
            yield (
                f"prompt_depth must be between 1 and {tower.prompt_blocks} for {tower.text}, but arm {arm} has "
                f"{self.prompt_depth}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RWDAConfig(MethodConfig):
    """Random word data augmentation (Tamura, BMVC 2023); see ``promptad/methods/rwda.py``."""

    n_texts: int = 512
    """Texts of each class that the network is trained on."""
    random_words: int = 4
    """Most random words in a text; each text has at least 1, or none if this is 0."""
    names_object: bool = True
    """Whether texts end with the category's name; without it one network serves all categories."""
    hidden_width: int = 256
    """Width of the network's hidden layer."""
    steps: int = 200
    """Full-batch steps of Adam."""
    step_size: float = 0.001
    """Adam's learning rate."""
    prompt_text: Literal["bare", "mapped_with_full_stop"] = "bare"
    """D19, as PromptAD's: which names categories have."""

    def domain_problems(self) -> list[str]:
        """A sentence for each value out of its domain."""
        problems = [
            *MethodConfig.domain_problems(self),
            *problems_below(self, {"n_texts": 1, "hidden_width": 1, "steps": 1}),
            *between(0, 16, self, "random_words"),
        ]
        if not 0 < self.step_size < float("inf"):
            problems.append(f"step_size must be positive and finite, but got {self.step_size}")
        if self.random_words == 0 and not self.names_object:
            problems.append("random_words must be at least 1 where names_object is false: texts would name nothing")
        return problems

    def inert(self, task: Task) -> frozenset[str]:
        """Category names do not matter where no text has one."""
        return MethodConfig.inert(self, task) | (set() if self.names_object else {"prompt_text"})


def between(lowest: int, highest: int, config: MethodConfig, name: str) -> list[str]:
    """What is wrong with a named field that must lie in a range, ends included, if anything."""
    value = getattr(config, name)
    return [] if lowest <= value <= highest else [f"{name} must be between {lowest} and {highest}, but got {value}"]
