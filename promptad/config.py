"""What a PromptAD experiment can vary: one frozen, typed value with every default in it."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from promptad.bit_depth import BitDepth
from promptad.field_types import as_stored, fits, number_problems, spelled
from promptad.templates import N_TEMPLATES

MOST_PROMPTS = 1000
"""Most prompts of one kind: every pair of them is a text to encode."""

Task = Literal["image", "pixel"]
"""Image-level detection or pixel-level localisation: two separate trainings (deviation D17)."""


class ConfigError(ValueError):
    """One or several fields of a config are out of their domain; the message names all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptADConfig:
    """Hyperparameters and protocol of one PromptAD training.

    The defaults are what the paper prints, and ours where it is silent or contradicts itself: docs/protocols.md says
    of each field which it is.

    The second half are the axes on which the authors' released code departs from the paper; ``protocol.py`` names
    them D1-D20 and derives from a config which of them are in force.
    """

    # The method's parts (Table 3, Table 7).
    sc: bool = True
    """Semantic concatenation (section 4.2). Without it: CoOp's two-class form, see ``prompts.py``."""
    eam: bool = True
    """Explicit anomaly margin, eq. 13."""
    margin: float = 0.0
    """What eq. 13 adds to the difference of its two distances, in their unit; section 4.3 fixes it to zero."""
    margin_weight: float = 1.0
    """Weight of eq. 13 in the sum of the losses; the paper prints none."""
    vad: bool = True
    """Vision-guided branch, eq. 8, fused by eq. 17-18. Without it the prompt-guided scores are final."""
    pad: bool = True
    """Prompt-guided branch, eq. 16. Without it the vision-guided scores are final, and nothing is learned."""
    prompts: Literal["learned", "ensemble"] = "learned"
    """Learned prompts, or CPE: WinCLIP's ensemble of fixed texts, which needs no training (``templates.py``)."""
    ensemble_templates: int = 22
    """How many templates the ensemble combines with its 11 states: WinCLIP's 22, or up to 84 (924 texts)."""
    maps: bool = True
    """Manual anomaly prompts (only with ``sc``)."""
    laps: bool = True
    """Learnable anomaly prompts (only with ``sc``)."""
    transformation: Literal["clip", "maskclip", "vv", "linear"] = "vv"
    """CLIP transformation of the local branch (Table 5)."""
    memory_layers: tuple[int, ...] | None = None
    """Blocks (1-based; ResNet: stages) whose patches are the visual memory; None: the backbone's default."""

    # Sizes and optimisation (supplement A).
    n_normal_prompts_image: int = 1
    """N of the image task's training: number of learnable normal prefixes."""
    n_normal_prompts_pixel: int = 1
    """N of the pixel task's training."""
    n_normal_tokens: int = 4
    """E_N: learnable tokens in a normal prefix."""
    n_anomaly_suffixes: int = 4
    """L: number of learnable anomaly suffixes."""
    n_anomaly_tokens: int = 1
    """E_A: learnable tokens in an anomaly suffix."""
    align_weight: float = 0.001
    """lambda of eq. 15."""
    learning_rate: float = 0.002
    momentum: float = 0.9
    weight_decay: float = 0.0005
    epochs: int = 100
    """Full-batch SGD steps. The paper does not state it; 100 is the released code's."""
    initial_deviation: float = 0.02
    """Standard deviation of the normal distribution that learnable tokens are drawn from."""
    own_suffixes: tuple[str, ...] | None = None
    """Manual suffixes of the user's, in place of the category's own (each with one ``{}``)."""
    support_views: Literal["plain", "augmented"] = "plain"
    """``augmented``: 20 slightly turned and shifted views of each support image; not in the paper."""

    # The protocol: the default first (printed, or ours where the paper is silent), then the released code's.
    temperature: Literal["exponential", "raw_parameter"] = "exponential"
    """D1: logits are multiplied by exp(logit_scale), or by the raw parameter."""
    tau: float | None = None
    """The paper's tau as a number, in place of CLIP's own (then ``temperature`` does not matter); None: CLIP's own."""
    selection: Literal["last", "best_on_test"] = "last"
    """D2: which epoch is reported. ``best_on_test`` looks at the test labels and is marked wherever it is used."""
    query_channels: Literal["rgb", "bgr"] = "rgb"
    """D3: channel order of test images (support images are always RGB)."""
    learnable_suffix_position: Literal["after_object", "before_object"] = "after_object"
    """D4: [P][obj.][A] of eq. 11, or [P][A][obj.]."""
    generic_suffixes: Literal["paper", "reference"] = "paper"
    """D5: the five generic suffixes of Figure 7, or the released code's eight."""
    margin_distance: Literal["euclidean", "squared_over_second_axis"] = "euclidean"
    """D6: distance of eq. 13."""
    alignment: Literal["normalised_means", "means_of_normalised"] = "normalised_means"
    """D7: order of mean and normalisation in eq. 15."""
    pairing: Literal["all", "modulo"] = "all"
    """D8: every normal prefix with every learnable suffix, or index i mod N with i mod L."""
    precision: Literal["fp32", "fp16"] = "fp32"
    """D10: precision of weights and activations."""
    support_draw: Literal["per_seed", "fixed"] = "per_seed"
    """D11: each seed draws its own support images, or all seeds share one set."""
    resize: Literal["shorter_edge", "squash_via_1024", "squash"] = "shorter_edge"
    """D12: shorter edge to the input size and centre crop, or squash to 1024x1024 and then to the input size. Neither
    the paper's nor the released code's: ``squash`` straight to the input size, so that the whole image is seen."""
    bit_depth: BitDepth = "by_maximum"
    """How grey values of 16-bit files become 8 bits (``bit_depth.py``); 8-bit files are never scaled."""
    map_size: int = 240
    """D13: side in pixels at which maps and masks are compared (released code: 400)."""
    map_smoothing: float = 0.0
    """D13: standard deviation in pixels of the Gaussian filter over the map (released code: 4)."""
    visual_maximum: Literal["patch_grid", "map_size"] = "patch_grid"
    """D14: eq. 18's maximum of M_v is taken on the patch grid, or after upsampling to ``map_size``."""
    learning_rate_schedule: Literal["constant", "cosine"] = "constant"
    """D16: constant, or cosine annealing over the epochs down to 1e-5."""
    training: Literal["per_task", "joint"] = "per_task"
    """D17: one training per task, or one that sums both tasks' losses."""
    prompt_text: Literal["bare", "mapped_with_full_stop"] = "bare"
    """D19: category name as it is, or the released code's mapped names and a full stop."""
    memory_tap: Literal["block_output", "after_next_attention"] = "block_output"
    """D20: memory features are a block's output, or that plus the next block's attention (see ``towers.py``)."""

    def __post_init__(self) -> None:
        """Check every field and report all problems at once."""
        problems = list(_type_problems(self))
        problems = problems or number_problems({name: getattr(self, name) for name in _field_types()})
        problems = problems or list(_domain_problems(self))
        if problems:
            raise ConfigError("; ".join(problems))
        for name, hint in _field_types().items():
            object.__setattr__(self, name, as_stored(getattr(self, name), hint))

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """This config with named fields changed.

        Raises:
            ConfigError: a field that does not exist, or a value out of its domain.
        """
        if unknown := sorted(set(changes) - set(field_names())):
            raise ConfigError(f"config has no field {', '.join(unknown)}; its fields are {', '.join(field_names())}")
        return dataclasses.replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON-compatible values."""
        return {name: list(v) if isinstance(v := getattr(self, name), tuple) else v for name in field_names()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of ``as_dict``; unknown or ill-typed fields raise ``ConfigError``."""
        changes = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls().with_changes(changes)

    @property
    def learns_prompts(self) -> bool:
        """Whether there are prompts, and they are learned."""
        return self.pad and self.prompts == "learned"

    @property
    def sees_support(self) -> bool:
        """Whether scores depend on support images: fixed prompts alone (CPE) have nothing to do with any."""
        return self.vad or self.learns_prompts

    @property
    def uses_suffixes(self) -> bool:
        """Whether manual anomaly suffixes are among the prompts."""
        return self.learns_prompts and self.sc and self.maps

    def n_normal_prompts(self, task: Task) -> int:
        """N for ``task``; a joint training has one set of prompts, the image task's."""
        if self.training == "joint" or task == "image":
            return self.n_normal_prompts_image
        return self.n_normal_prompts_pixel


def field_names() -> tuple[str, ...]:
    """Names of the config's fields in order."""
    return tuple(field.name for field in dataclasses.fields(PromptADConfig))


def canonical(config: PromptADConfig, task: Task) -> PromptADConfig:
    """``config`` with every field that cannot influence ``task`` reset to its default.

    Two configs with the same canonical form are the same computation, so that ablations share their cells:
    without ``vad`` the memory layers do not matter, without learnable anomaly prompts L, E_A and lambda do not.
    """
    inert = _without_learning(config)
    if not config.sc:
        inert |= {"maps", "laps", "generic_suffixes", "own_suffixes"}
    if not (config.sc and config.maps):
        inert |= {"generic_suffixes", "own_suffixes"}
    if not (config.sc and config.laps):
        inert |= {"n_anomaly_suffixes", "n_anomaly_tokens", "learnable_suffix_position", "pairing"}
    if not (config.sc and config.maps and config.laps):
        inert |= {"align_weight", "alignment"}
    if not config.eam:
        inert |= {"margin", "margin_weight", "margin_distance"}
    if config.margin_weight == 0:
        inert |= {"margin", "margin_distance"}
    if config.tau is not None:
        inert |= {"temperature"}
    if not config.vad:
        inert |= {"memory_layers", "memory_tap", "visual_maximum"}
    if config.n_normal_prompts(task) == 1:
        inert |= {"pairing"}
    if config.training == "joint":
        inert |= {"n_normal_prompts_pixel"}
    elif task == "image":
        inert |= {"n_normal_prompts_pixel", "transformation"}
    else:
        inert |= {"n_normal_prompts_image"}
    if task == "image":
        inert |= {"map_smoothing"}
        if not (config.vad and config.visual_maximum == "map_size"):
            inert |= {"map_size"}
    else:
        inert |= {"visual_maximum"}
    if config.epochs == 0:
        inert |= {"learning_rate", "momentum", "weight_decay", "learning_rate_schedule", "selection"}
        inert |= {"eam", "margin", "margin_weight", "margin_distance", "align_weight", "alignment"}
    defaults = PromptADConfig()
    return dataclasses.replace(config, **{name: getattr(defaults, name) for name in inert})


_LEARNING = frozenset(
    {
        *("sc", "eam", "maps", "laps", "own_suffixes", "generic_suffixes", "margin_distance", "alignment"),
        *("n_normal_prompts_image", "n_normal_prompts_pixel", "n_normal_tokens", "n_anomaly_suffixes"),
        *("n_anomaly_tokens", "align_weight", "learning_rate", "momentum", "weight_decay", "epochs"),
        *("initial_deviation", "selection", "learnable_suffix_position", "pairing", "learning_rate_schedule"),
        *("training", "margin", "margin_weight"),
    }
)
"""Fields that only matter when prompts are learned."""


def _without_learning(config: PromptADConfig) -> set[str]:
    """What cannot matter because there are no learned prompts, or no prompts at all."""
    if not config.pad:
        return {*_LEARNING, "transformation", "temperature", "tau", "prompt_text", "prompts", "ensemble_templates"}
    if config.prompts == "ensemble":
        return {*_LEARNING} if config.vad else {*_LEARNING, "support_draw", "support_views"}
    return {"ensemble_templates"}


def _type_problems(config: PromptADConfig) -> typing.Iterator[str]:
    for name, hint in _field_types().items():
        value = getattr(config, name)
        if not fits(value, hint):
            yield f"{name} must be {spelled(hint)}, but got {value!r}"


@functools.cache
def _field_types() -> dict[str, Any]:
    # Evaluating the annotations takes a millisecond, and a plan makes thousands of configs.
    return typing.get_type_hints(PromptADConfig)


def tau_problems(tau: float | None) -> list[str]:
    """What is wrong with a temperature of the logits, if anything."""
    return [] if tau is None or 0 < tau < float("inf") else [f"tau must be positive and finite, or none, but got {tau}"]


def map_problems(size: int, smoothing: float) -> list[str]:
    """What is wrong with the side of maps and the deviation of their filter, both in pixels, if anything."""
    problems = [] if 16 <= size <= 2048 else [f"map_size must be between 16 and 2048 pixels, but got {size}"]
    if not 0 <= smoothing <= 2048:
        problems.append(f"map_smoothing must be between 0 and 2048 pixels, but got {smoothing}")
    return problems


def _domain_problems(config: PromptADConfig) -> typing.Iterator[str]:
    yield from map_problems(config.map_size, config.map_smoothing)
    for name in ("n_normal_prompts_image", "n_normal_prompts_pixel", "n_anomaly_suffixes"):
        if not 1 <= getattr(config, name) <= MOST_PROMPTS:
            yield f"{name} must be between 1 and {MOST_PROMPTS}, but got {getattr(config, name)}"
    for name in ("n_normal_tokens", "n_anomaly_tokens"):
        if not 1 <= getattr(config, name) <= 32:
            yield f"{name} must be between 1 and 32, but got {getattr(config, name)}"
    not_negative = ("align_weight", "margin", "margin_weight", "weight_decay", "initial_deviation")
    for name in (*not_negative, "epochs"):
        if not 0 <= getattr(config, name) < float("inf"):
            yield f"{name} must be finite and not negative, but got {getattr(config, name)}"
    if not 0 < config.learning_rate < float("inf"):
        yield f"learning_rate must be positive, but got {config.learning_rate}"
    yield from tau_problems(config.tau)
    if not 0 <= config.momentum < 1:
        yield f"momentum must be at least 0 and below 1, but got {config.momentum}"
    if not 1 <= config.ensemble_templates <= N_TEMPLATES:
        yield f"ensemble_templates must be between 1 and {N_TEMPLATES}, but got {config.ensemble_templates}"
    if config.prompts == "ensemble" and config.transformation == "linear":
        yield "transformation linear is learned, so prompts cannot be ensemble: use clip, maskclip or vv"
    if not (config.pad or config.vad):
        yield "a score needs a branch: set pad or vad"
    if config.sc and not (config.maps or config.laps):
        yield "sc needs anomaly prompts: set maps or laps, or set sc to false"
    layers = config.memory_layers
    if layers is not None and (not layers or len(set(layers)) < len(layers) or min(layers) < 1):
        yield f"memory_layers must be different blocks counted from 1, but got {layers}"
    for suffix in config.own_suffixes or ():
        if suffix.count("{}") != 1 or set("{}") & set(suffix.replace("{}", "")):
            yield f"each of own_suffixes must hold {{}} once for the object's name, no other brace, but got {suffix!r}"
