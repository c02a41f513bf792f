"""AnoPLe (Lee et al., arXiv 2408.13516), rebuilt: prompts in both towers, coupled both ways, and pseudo-anomalies."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from promptad.anople.coupled_prompts import CoupledPrompts
from promptad.anople.decoder import Decoder
from promptad.anople.picture_views import wanted_pictures
from promptad.anople.prompted_features import anomaly_map, class_words, decoded, encode_views
from promptad.anople.training import AnoPLeTraining
from promptad.backbones.backbone import Backbone
from promptad.configs.anople_config import AnoPLeConfig
from promptad.configs.method_config import Task
from promptad.features.extraction import Features, images_at_once
from promptad.features.pictures import PIXELS
from promptad.methods.method import Fitted, MethodSize, PooledFit, Scores, require_setting
from promptad.methods.patches import patch_views
from promptad.methods.visual_memory import remembered_patches, visual_maps
from promptad.prompts.prompt_learning import inverse_temperature
from promptad.scoring.anomaly_scores import harmonic_fusion, prompt_score, resize_maps


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedAnoPLe:
    """Prompts and decoder as they were learned, and one category's prototypes and memory.

    ``prototypes`` are the text features of both classes (normal, anomaly), l2-normalised. ``memories`` hold the support
    patches of the unprompted tower by memory view, those of the images with the identities ``support``.
    """

    backbone: Backbone
    config: AnoPLeConfig
    task: Task
    prompts: CoupledPrompts
    decoder: Decoder | None
    prototypes: Float[Tensor, "2 embed"]
    memories: Mapping[str, Float[Tensor, "entry width"]]
    support: tuple[str, ...] = ()

    @torch.inference_mode()
    def score(self, query: Features) -> Scores:
        """The whole image's probability of the anomaly prompt, or its map, fused with the memory's."""
        parts = []
        for chunk in query.chunks(images_at_once(self.backbone.device)):
            images = query.stack(PIXELS, chunk.start, chunk.stop)
            encoded = encode_views(
                self.backbone,
                self.config,
                self.prompts,
                images,
                [0] * len(images),
                local=self.task == "pixel",
            )
            if encoded.grid is None:
                normal, anomaly = self.prototypes
                scale = inverse_temperature(self.backbone, self.config)
                parts.append(prompt_score(encoded.global_features, normal, anomaly, scale))
            else:
                vectors = decoded(self.decoder, encoded.grid)
                parts.append(anomaly_map(self.backbone, self.config, vectors, self.prototypes))
        textual = torch.cat(parts).float()
        visual = visual_maps(query, self.memories, self.support) if self.memories else None
        if self.task == "image":
            fused = textual if visual is None else harmonic_fusion(textual, visual.flatten(1).amax(dim=1))
            return Scores(image=fused.cpu(), maps=None, branches={})
        branches = {"textual": textual} | ({} if visual is None else {"visual": visual})
        finest = max(branch.shape[-1] for branch in branches.values())
        fused = resize_maps(textual, finest)
        if visual is not None:
            fused = harmonic_fusion(fused, resize_maps(visual, finest))
        return Scores(image=None, maps=fused.cpu(), branches={name: value.cpu() for name, value in branches.items()})

    def tensors(self) -> dict[str, Tensor]:
        """Prompts, decoder, prototypes and memories by name."""
        return {
            **self.prompts.tensors(),
            **({} if self.decoder is None else self.decoder.tensors()),
            "prototypes": self.prototypes,
            **{f"memory/{view}": memory for view, memory in self.memories.items()},
        }


class AnoPLe:
    """The method's entry point; see ``Method``.

    Known of it (its abstract and captions, and notes on its second version): both towers have learnable tokens in
    their first blocks, each its own and, mapped by a linear layer of the block, the other's. One context stands before
    ``{object}`` and ``abnormal {object}``. It learns from the whole image and from four parts of it, each with a
    learnable row of its own, and from pseudo-anomalies in pixels and in features: cross-entropy of images, Dice and
    focal loss of a decoder's maps, and an alignment of global and local features. The whole image alone is scored, and
    fused by the harmonic mean with a visual memory. All else is ours:

    - 2 tokens of each tower, 9 of 12 blocks, their initial values, optimiser and steps: those of our MaPLe. Prompts do
      not depend on the image.
    - The four parts are the quarters of the image at twice the tower's size. A view's row is one more token in the
      first block of the image tower, or is added to what the decoder reads.
    - In a step a drawn view of each image (``views_per_step``) appears normal, with a pseudo-anomaly of its own on its
      pixels (this project's Perlin textures or CutPaste, drawn anew), and with noise on its local features where
      Perlin noise is high. The latter has no global feature, and enters the loss of maps alone.
    - The decoder adds two convolutions to the local features of the V-V branch; it begins as identity, and Adam
      moves it. Losses are means over views, without weights. Dice adds 1 to both parts; gamma is 2.
    - The alignment is of pixel pseudo-anomalies alone: with normal views it would reward anomaly where there is none.
    - The memory is PromptAD's, of the unprompted tower. The image score takes the maximum of its map.
    - One training serves the scores of images and of pixels.
    - Of several categories together (``setting=multi_class``) prompts, rows and decoder are shared; words and memory
      are each one's, and the loss is the mean over categories.
    """

    def views(self, config: AnoPLeConfig, task: Task, backbone: Backbone) -> frozenset[str]:
        """The tower's input, pictures to learn from, and the memory's layers."""
        pictures = wanted_pictures(config) if config.epochs else frozenset[str]()
        return frozenset({PIXELS, *pictures, *_memory_views(config, backbone)})

    def fit(
        self,
        backbone: Backbone,
        support: Features,
        config: AnoPLeConfig,
        *,
        task: Task,
        category: str,
        seed: int,
        on_epoch: Callable[[int, Fitted], None] | None = None,
    ) -> FittedAnoPLe:
        """Learn prompts, couplings, rows and decoder on the support images for ``config.epochs`` epochs.

        Raises:
            ConfigError: more blocks with prompts than one of the towers has.
        """
        require_setting(config, task, pooled=False)
        training = AnoPLeTraining(backbone, config, {category: support}, category=category, seed=seed)
        learned = functools.partial(_learned, backbone, training, config, task)
        for epoch in range(1, config.epochs + 1):
            training.step()
            if on_epoch is not None:
                on_epoch(epoch, learned()(category, support))
        return learned()(category, support)

    def fit_pool(
        self, backbone: Backbone, supports: Mapping[str, Features], config: AnoPLeConfig, *, task: Task, seed: int
    ) -> PooledFit:
        """One set of prompts and one decoder for all categories; words and memory are each one's own.

        Raises:
            ConfigError: more blocks with prompts than one of the towers has; or a config of one category's model.
        """
        require_setting(config, task, pooled=True)
        training = AnoPLeTraining(backbone, config, supports, category=None, seed=seed)
        for _ in range(config.epochs):
            training.step()
        return _learned(backbone, training, config, task)

    def check_prompts(self, tokenizer: SimpleTokenizer, config: AnoPLeConfig, task: Task, category: str) -> None:
        """Both classes behind the context."""
        class_words(tokenizer, config, category)

    def size(self, backbone: Backbone, config: AnoPLeConfig, *, task: Task, category: str) -> MethodSize:
        """Two prompts, one a class; tokens, couplings, rows and decoder."""
        # Drawn only to be counted; the values do not matter.
        learned = CoupledPrompts.draw(backbone, config, category=category, seed=0).parameters()
        decoder = Decoder.draw(int(backbone.model.visual.output_dim), config, category=category, seed=0)
        learned += [] if decoder is None else decoder.parameters()
        return MethodSize(prompts=2, learned_parameters=sum(part.numel() for part in learned))

    def restore(
        self, backbone: Backbone, tensors: Mapping[str, Tensor], config: AnoPLeConfig, *, task: Task
    ) -> FittedAnoPLe:
        """A fitted method from its tensors."""
        moved = {name: tensor.to(backbone.device) for name, tensor in tensors.items()}
        return FittedAnoPLe(
            backbone=backbone,
            config=config,
            task=task,
            prompts=CoupledPrompts.restored(moved),
            decoder=Decoder.restored(moved),
            prototypes=moved["prototypes"],
            memories={
                name.removeprefix("memory/"): value for name, value in moved.items() if name.startswith("memory/")
            },
        )


def _learned(
    backbone: Backbone, training: AnoPLeTraining, config: AnoPLeConfig, task: Task
) -> Callable[[str, Features], FittedAnoPLe]:
    """The method as it is learned now, for each category of the training and its support images."""
    prompts, decoder = training.prompts.frozen(), None if training.decoder is None else training.decoder.frozen()
    prototypes = training.prototypes()

    def fitted(category: str, support: Features) -> FittedAnoPLe:
        return FittedAnoPLe(
            backbone=backbone,
            config=config,
            task=task,
            prompts=prompts,
            decoder=decoder,
            prototypes=prototypes[category],
            memories=remembered_patches(support, _memory_views(config, backbone)),
            support=support.identities,
        )

    return fitted


def _memory_views(config: AnoPLeConfig, backbone: Backbone) -> tuple[str, ...]:
    return patch_views(config, backbone) if config.memory else ()
