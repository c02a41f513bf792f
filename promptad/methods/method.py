"""The interface of a method: it names its features, fits on a few images, and scores others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Float
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from promptad.backbones.backbone import Backbone
from promptad.configs.method_config import ConfigError, MethodConfig, Task
from promptad.features.extraction import Features
from promptad.scoring.finite import require_finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Anomaly scores of query images, higher is more anomalous: PromptAD's in [0, 1], distances of others not negative.

    SimpleNet's are a discriminator's output, of either sign.

    ``image`` is set for the image task, ``maps`` (on the patch grid, before upsampling) for the pixel task.
    ``branches`` are the maps of single branches by name (``textual``, ``visual``), as far as the method has them.
    """

    image: Float[Tensor, " image"] | None
    maps: Float[Tensor, "image row column"] | None
    branches: Mapping[str, Float[Tensor, "image row column"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSize:
    """The size of a method that is fitted to one object.

    ``prompts`` are the texts that the text tower encodes for the object; where each image has prompts of its own, those
    of one image. ``learned_parameters`` are the numbers that gradients move.
    """

    prompts: int
    learned_parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """One fit that is asked for: the arguments of ``Method.fit`` that differ between the cells of a category."""

    support: Features
    config: Any
    task: Task
    category: str
    seed: int
    on_epoch: Callable[[int, Fitted], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FitResult:
    """What came of a fit among others: the fitted method or its error, and how many fits took their steps with it."""

    result: Fitted | Exception
    company: int = 1


class Fitted(Protocol):
    """A method fitted to one object; immutable. ``config`` is the one of the fit."""

    @property
    def config(self) -> Any:
        """The config that ran."""
        ...

    def score(self, query: Features) -> Scores:
        """Scores of every query image."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Everything that was fitted, by name, to save and to restore."""
        ...


def finite_scores(fitted: Fitted, query: Features) -> Scores:
    """``fitted.score(query)``, checked for finite values; every method's scores pass through here.

    Raises:
        NotFiniteError: a score or map is not finite; the message names the images.
    """
    result = fitted.score(query)
    found = {"score": result.image, "map": result.maps}
    found |= {f"{name} map": values for name, values in result.branches.items()}
    for what, values in found.items():
        if values is not None:
            require_finite(values, what, query.names, precision=fitted.config.precision)
    return result


@runtime_checkable
class FitsTogether(Protocol):
    """A method some of whose fits can be computed together, for less than they cost one by one."""

    def fit_together(self, backbone: Backbone, fittings: Sequence[Fitting], most: int) -> Sequence[FitResult]:
        """What came of each fit, in their order: what ``fit`` gives it alone (on a CPU to the bit), or raises.

        At most ``most`` are computed at once. What is raised from here is no single fit's fault.
        """
        ...


def fit_all(method: Method, backbone: Backbone, fittings: Sequence[Fitting], most: int) -> Sequence[FitResult]:
    """What came of each fit of one method, in their order: together where the method can, else one after the other.

    On a CPU that is what ``fit`` gives, to the bit.

    Raises:
        Exception: of a single fit; or of several together, and then it is no single one's fault.
    """
    if isinstance(method, FitsTogether):
        return method.fit_together(backbone, fittings, most)
    found = (
        method.fit(
            backbone,
            each.support,
            each.config,
            task=each.task,
            category=each.category,
            seed=each.seed,
            on_epoch=each.on_epoch,
        )
        for each in fittings
    )
    return [FitResult(result=fitted) for fitted in found]


PooledFit: TypeAlias = Callable[[str, Features], Fitted]
"""What a pool of categories learned, as fitted to one of them: by the category's name and its support images."""


@runtime_checkable
class FitsPools(Protocol):
    """A method that can learn one model for several categories (``setting=multi_class``)."""

    def fit_pool(
        self, backbone: Backbone, supports: Mapping[str, Features], config: Any, *, task: Task, seed: int
    ) -> PooledFit:
        """Learn one set of parameters from the support images of all categories, in the order of ``supports``.

        The loss is the mean of the losses that the categories have alone. What is drawn depends on no category. With a
        single category and the same initial parameters, it learns what ``fit`` does.

        Raises:
            ConfigError: the config asks for a model for each category.
        """
        ...


def require_setting(config: MethodConfig, task: Task, *, pooled: bool) -> None:
    """Check that a config asks for one model of all categories (``pooled``), or for one of each.

    Raises:
        ConfigError: it asks for the other, so that the fitted method would state a config that did not run.
    """
    # A config whose setting cannot matter is asked for in its canonical form.
    asks = config.pools_categories and config.canonical(task).pools_categories
    if asks != pooled:
        setting, fitting = ("multi_class", "fit_pool") if asks else ("one_class", "fit")
        raise ConfigError(f"setting must be that of the fit, but is {setting}, for which there is {fitting}")


class WithoutPrompts:
    """Base of methods that encode no texts, or draw theirs when they are fitted (RWDA)."""

    def check_prompts(self, tokenizer: SimpleTokenizer, config: Any, task: Task, category: str) -> None:
        """Nothing to check."""


class Method(Protocol):
    """One entry of the table of methods. Methods never load data, cache, schedule or compute metrics."""

    def views(self, config: Any, task: Task, backbone: Backbone) -> frozenset[str]:
        """Names of the feature views (see ``features/extraction.py``) that support and query images must have."""
        ...

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: Any,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> Fitted:
        """Fit to the support images of one category.

        ``on_epoch`` is called after every epoch with its number (from 1) and the method as fitted up to then.
        """
        ...

    def check_prompts(self, tokenizer: SimpleTokenizer, config: Any, task: Task, category: str) -> None:
        """Check, before anything runs, that the prompts of a category fit into the text tower's context.

        Raises:
            PromptError: one is too long.
        """
        ...

    def size(self, backbone: Backbone, config: Any, *, task: Task, category: str) -> MethodSize:
        """Numbers of prompts and learned parameters of ``fit`` with this config, independent of the support images."""
        ...

    def restore(self, backbone: Backbone, tensors: Mapping[str, Tensor], config: Any, *, task: Task) -> Fitted:
        """The inverse of ``Fitted.tensors``."""
        ...
