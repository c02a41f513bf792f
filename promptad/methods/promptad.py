"""PromptAD (CVPR 2024): learned prompts and a memory of normal patches; either part can be switched off."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor
from torch.nn.functional import normalize

from promptad.backbones.accelerator import is_out_of_memory, is_poisoned
from promptad.backbones.backbone import Backbone
from promptad.backbones.backbone_names import is_transformer
from promptad.backbones.towers import grid_side, linear_local_features
from promptad.configs.method_config import Task
from promptad.configs.promptad_config import PromptADConfig
from promptad.features.extraction import Features
from promptad.methods.method import FitResult, Fitted, Fitting, MethodSize, PooledFit, Scores, require_setting
from promptad.methods.patches import patch_views
from promptad.methods.visual_memory import CHUNK, remembered_patches, visual_maps
from promptad.prompts.company import learn
from promptad.prompts.pooled import begin_pooled_training
from promptad.prompts.prompt_ensemble import ensemble_prototypes
from promptad.prompts.prompt_learning import (
    PromptTraining,
    begin_training,
    inverse_temperature,
    learnable_parameters,
    learns_layers,
    prompts_for,
)
from promptad.scoring.anomaly_scores import harmonic_fusion, prompt_score, resize_maps


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedPromptAD:
    """PromptAD fitted to one object and one task.

    ``prototypes`` are the normal and the anomaly prototype (2 x embed), None without the prompt-guided branch;
    ``memories`` one tensor of normal patches per memory view (entry x width), empty without the vision-guided branch;
    ``layers`` the learnable linear layers of the ``linear`` transformation. ``support`` are the identities of the
    images whose patches the memories are, () if unknown.
    """

    backbone: Backbone
    config: PromptADConfig
    task: Task
    prototypes: Tensor | None
    memories: Mapping[str, Tensor]
    layers: Tensor | None
    support: tuple[str, ...] = ()

    @torch.inference_mode()
    def score(self, query: Features) -> Scores:
        """Eq. 18's score for the image task, eq. 17's map for the pixel task."""
        visual = visual_maps(query, self.memories, self.support) if self.memories else None
        parts = [
            self._score_chunk(query, chunk, None if visual is None else visual[chunk]) for chunk in query.chunks(CHUNK)
        ]
        branches = {name: torch.cat([part.branches[name] for part in parts]) for name in parts[0].branches}
        images = [part.image for part in parts if part.image is not None]
        maps = [part.maps for part in parts if part.maps is not None]
        return Scores(
            image=torch.cat(images) if images else None, maps=torch.cat(maps) if maps else None, branches=branches
        )

    def tensors(self) -> dict[str, Tensor]:
        """Prototypes, memories and linear layers by name."""
        fitted = {f"memory/{view}": memory for view, memory in self.memories.items()}
        fitted |= {} if self.prototypes is None else {"prototypes": self.prototypes}
        return fitted if self.layers is None else fitted | {"layers": self.layers}

    def _score_chunk(self, query: Features, chunk: slice, visual: Tensor | None) -> Scores:
        branches = {} if visual is None else {"visual": visual}
        if self.task == "image":
            return Scores(image=self._image_scores(query, chunk, branches.get("visual")).cpu(), maps=None, branches={})
        if self.prototypes is not None:
            textual = self._prompt_score(self._local(query, chunk))
            side = grid_side(textual.shape[1])
            branches["textual"] = textual.unflatten(-1, (side, side))
        finest = max(branch.shape[-1] for branch in branches.values())
        fused = functools.reduce(harmonic_fusion, (resize_maps(branch, finest) for branch in branches.values()))
        return Scores(image=None, maps=fused.cpu(), branches={name: value.cpu() for name, value in branches.items()})

    def _image_scores(self, query: Features, chunk: slice, visual: Tensor | None) -> Tensor:
        parts = []
        if self.prototypes is not None:
            parts.append(self._prompt_score(query.stack("global", chunk.start, chunk.stop)))
        if visual is not None:
            parts.append(self._visual_maximum(visual))
        return functools.reduce(harmonic_fusion, parts)

    def _prompt_score(self, z: Tensor) -> Tensor:
        assert self.prototypes is not None
        normal, anomaly = self.prototypes
        return prompt_score(z, normal, anomaly, inverse_temperature(self.backbone, self.config)).float()

    def _local(self, query: Features, chunk: slice) -> Tensor:
        if self.layers is None:
            return query.stack(f"local/{self.config.transformation}", chunk.start, chunk.stop)
        stream = query.stack("stream", chunk.start, chunk.stop)
        return normalize(linear_local_features(self.backbone.model.visual, stream, self.layers), dim=-1)

    def _visual_maximum(self, visual: Tensor) -> Tensor:
        if self.config.visual_maximum == "map_size":
            visual = resize_maps(visual, self.config.map_size)
        return visual.flatten(1).amax(dim=1)


class PromptAD:
    """The method's entry point; see ``Method``."""

    def views(self, config: PromptADConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """``global`` or the local branch, and the memory views."""
        wanted = set(memory_views(config, backbone))
        if not config.pad:
            return frozenset(wanted)
        if task == "image" or config.training == "joint":
            wanted.add("global")
        if task == "pixel" or config.training == "joint":
            wanted.add("stream" if config.learns_local_layers else f"local/{config.transformation}")
        return frozenset(wanted)

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: PromptADConfig,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> FittedPromptAD:
        """Learn prompts on the support images for ``config.epochs`` epochs and remember their patches.

        Nothing is learned when the prompts are an ensemble, or when there is no prompt-guided branch.
        """
        require_setting(config, task, pooled=False)
        fitting = Fitting(support=support, config=config, task=task, category=category, seed=seed)
        if not config.learns_prompts:
            return _without_learning(backbone, fitting)
        memories, training = _memories(backbone, support, config), _training(backbone, fitting)
        for epoch in range(1, config.epochs + 1):
            training.step()
            if on_epoch is not None:
                on_epoch(epoch, _learned(backbone, fitting, training, memories))
        return _learned(backbone, fitting, training, memories)

    def fit_together(self, backbone: Backbone, fittings: Sequence[Fitting], most: int) -> list[FitResult]:
        """What came of each fit, in their order; trainings take their steps together (`promptad.prompts.company`)."""
        results: dict[int, FitResult] = {}
        begun: dict[int, PromptTraining] = {}
        memories: dict[int, dict[str, Tensor]] = {}
        for number, each in enumerate(fittings):
            try:
                require_setting(each.config, each.task, pooled=False)
                if each.config.learns_prompts:
                    memories[number] = _memories(backbone, each.support, each.config)
                    begun[number] = _training(backbone, each)
                else:
                    results[number] = FitResult(result=_without_learning(backbone, each))
            except Exception as error:
                if is_out_of_memory(error) or is_poisoned(error):
                    raise
                results[number] = FitResult(result=error)

        def fitted(number: int) -> FittedPromptAD:
            return _learned(backbone, fittings[number], begun[number], memories[number])

        def tell(number: int, epoch: int) -> None:
            on_epoch = fittings[number].on_epoch
            assert on_epoch is not None
            on_epoch(epoch, fitted(number))

        listeners = [None if fittings[each].on_epoch is None else functools.partial(tell, each) for each in begun]
        for number, ended in zip(begun, learn(list(begun.values()), most, listeners), strict=True):
            result = fitted(number) if ended.error is None else ended.error
            results[number] = FitResult(result=result, company=ended.company)
        return [results[number] for number in range(len(fittings))]

    def fit_pool(
        self, backbone: Backbone, supports: Mapping[str, Features], config: PromptADConfig, *, task: Task, seed: int
    ) -> PooledFit:
        """One set of learnable tokens for all categories; prototypes, of its own words, and memory are each one's."""
        require_setting(config, task, pooled=True)
        training = begin_pooled_training(backbone, supports, config, task=task, seed=seed)
        for _ in range(config.epochs):
            training.step()
        prototypes, layers = dict(zip(supports, training.prototypes(), strict=True)), training.layers()

        def fitted_to(category: str, support: Features) -> FittedPromptAD:
            return FittedPromptAD(
                backbone=backbone,
                config=config,
                task=task,
                prototypes=prototypes[category],
                memories=_memories(backbone, support, config),
                layers=layers,
                support=support.identities,
            )

        return fitted_to

    def check_prompts(self, tokenizer: SimpleTokenizer, config: PromptADConfig, task: Task, category: str) -> None:
        """All prompts of the task."""
        prompts_for(tokenizer, config, task, category)

    def size(self, backbone: Backbone, config: PromptADConfig, *, task: Task, category: str) -> MethodSize:
        """Normal prompts, MAPs and LAPs (or the ensemble's texts), and the tokens and layers that are learned."""
        if not config.pad:
            return MethodSize(prompts=0, learned_parameters=0)
        prompts = len(prompts_for(backbone.tokenizer, config, task, category).all)
        learned = 0 if config.prompts == "ensemble" else learnable_parameters(backbone, config, task)
        return MethodSize(prompts=prompts, learned_parameters=learned)

    def parts(self, config: PromptADConfig, task: Task, backbone: Backbone) -> dict[str, int | None]:
        """The tensors of a fitted method (``FittedPromptAD.tensors``) and their widths, None if unknown."""
        visual = backbone.model.visual
        width = int(visual.ln_post.weight.shape[0]) if is_transformer(backbone.name) else None
        wanted = {f"memory/{view}": width for view in memory_views(config, backbone)}
        if config.pad:
            wanted["prototypes"] = int(visual.output_dim)
        if learns_layers(config, task):
            wanted["layers"] = width
        return wanted

    def restore(
        self, backbone: Backbone, tensors: Mapping[str, Tensor], config: PromptADConfig, *, task: Task
    ) -> FittedPromptAD:
        """A fitted method from its tensors."""
        moved = {name: tensor.to(backbone.device) for name, tensor in tensors.items()}
        return FittedPromptAD(
            backbone=backbone,
            config=config,
            task=task,
            prototypes=moved.get("prototypes"),
            memories={
                name.removeprefix("memory/"): value for name, value in moved.items() if name.startswith("memory/")
            },
            layers=moved.get("layers"),
        )


def _training(backbone: Backbone, fitting: Fitting) -> PromptTraining:
    return begin_training(
        backbone, fitting.support, fitting.config, task=fitting.task, category=fitting.category, seed=fitting.seed
    )


def _learned(
    backbone: Backbone, fitting: Fitting, training: PromptTraining, memories: Mapping[str, Tensor]
) -> FittedPromptAD:
    return FittedPromptAD(
        backbone=backbone,
        config=fitting.config,
        task=fitting.task,
        prototypes=training.prototypes(),
        memories=memories,
        layers=None if training.layers is None else training.layers.detach().clone(),
        support=fitting.support.identities,
    )


def _without_learning(backbone: Backbone, fitting: Fitting) -> FittedPromptAD:
    config, prototypes = fitting.config, None
    if config.pad:
        prompts = prompts_for(backbone.tokenizer, config, fitting.task, fitting.category)
        prototypes = ensemble_prototypes(backbone, prompts)
    return FittedPromptAD(
        backbone=backbone,
        config=config,
        task=fitting.task,
        prototypes=prototypes,
        memories=_memories(backbone, fitting.support, config),
        layers=None,
        support=fitting.support.identities,
    )


def _memories(backbone: Backbone, support: Features, config: PromptADConfig) -> dict[str, Tensor]:
    return remembered_patches(support, memory_views(config, backbone))


def memory_views(config: PromptADConfig, backbone: Backbone) -> tuple[str, ...]:
    """The feature views of the visual memory; none without the vision-guided branch."""
    return patch_views(config, backbone) if config.vad else ()
