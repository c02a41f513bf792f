"""AnoPLe's prompts: tokens in the first blocks of both towers, each tower's own beside those mapped from the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

from promptad.anople.picture_views import view_count
from promptad.backbones.backbone import Backbone
from promptad.configs.anople_config import AnoPLeConfig
from promptad.prompts.class_prompts import draw_context
from promptad.prompts.linear_layers import Linear, layer_tensors, restored_layers
from promptad.prompts.prompt_depth import depth_in
from promptad.randomness import drawn_for, torch_generator


@dataclass(frozen=True, slots=True, kw_only=True)
class CoupledPrompts:
    """P_j^t (``text``), P_j^v (``visual``), the maps f_j between them, and one row for each view of an image.

    ``to_image`` and ``to_text`` are one layer for each block with prompts, or none. ``rows`` have the width of
    the image tower, or of the joint space where the decoder reads them; no row where there is no signal.
    """

    text: Float[Tensor, "depth token width"]
    visual: Float[Tensor, "depth token visual_width"]
    to_image: tuple[Linear, ...]
    to_text: tuple[Linear, ...]
    rows: Float[Tensor, "view width"]

    @classmethod
    def draw(cls, backbone: Backbone, config: AnoPLeConfig, *, category: str | None, seed: int) -> Self:
        """Initial values; those of a block, and of a view, are the same however many there are.

        Tokens of the text tower and maps to the image tower are those of our MaPLe. ``category`` None: of all together.

        Raises:
            ConfigError: more blocks with prompts than one of the towers has.
        """
        blocks = range(1, depth_in(backbone.name, config.prompt_depth) + 1)
        visual_width = int(backbone.model.visual.ln_post.weight.shape[0])
        width = int(backbone.text.token_embedding.weight.shape[1])

        def normal(shape: tuple[int, ...], purpose: str) -> Tensor:
            drawn = torch.randn(shape, generator=torch_generator(seed, *drawn_for(category), purpose))
            return config.initial_deviation * drawn

        def layers(inputs: int, outputs: int, name: str) -> tuple[Linear, ...]:
            return tuple(
                Linear.draw(inputs, outputs, torch_generator(seed, *drawn_for(category), f"{name} of block {number}"))
                for number in blocks
            )

        first = draw_context(
            backbone.text,
            n_tokens=config.n_text_tokens,
            deviation=config.initial_deviation,
            category=category,
            seed=seed,
        )
        text = [first, *(normal(tuple(first.shape), f"prompts of block {number}") for number in blocks[1:])]
        visual = [
            normal((config.n_visual_tokens, visual_width), f"visual prompts of block {number}") for number in blocks
        ]
        row_width = visual_width if config.view_signal == "tower" else int(backbone.model.visual.output_dim)
        count = 0 if config.view_signal == "none" else view_count(config)
        rows = [normal((row_width,), f"row of view {view}") for view in range(count)]
        return cls(
            text=torch.stack(text),
            visual=torch.stack(visual),
            to_image=layers(width, visual_width, "coupling") if config.maps_to_image else (),
            to_text=layers(visual_width, width, "coupling to the text") if config.maps_to_text else (),
            rows=torch.stack(rows) if rows else torch.zeros(0, row_width),
        )

    def leaf(self, device: torch.device, dtype: torch.dtype) -> Self:
        """A copy to learn: leaf tensors that require gradients."""
        text, visual, rows = (
            part.detach().to(device, dtype, copy=True).requires_grad_() for part in (self.text, self.visual, self.rows)
        )
        to_image, to_text = (
            tuple(layer.leaf(device, dtype) for layer in layers) for layers in (self.to_image, self.to_text)
        )
        return type(self)(text=text, visual=visual, to_image=to_image, to_text=to_text, rows=rows)

    def frozen(self) -> Self:
        """A copy as it is now, without gradients."""
        return type(self)(
            text=self.text.detach().clone(),
            visual=self.visual.detach().clone(),
            to_image=tuple(layer.frozen() for layer in self.to_image),
            to_text=tuple(layer.frozen() for layer in self.to_text),
            rows=self.rows.detach().clone(),
        )

    def parameters(self) -> list[Tensor]:
        """All that is learned, without tensors of no element."""
        layers = [part for layer in (*self.to_image, *self.to_text) for part in layer.parameters()]
        return [part for part in (self.text, self.visual, *layers, self.rows) if part.numel()]

    def text_prompts(self) -> Float[Tensor, "depth prompt width"]:
        """[P_j^t ; f_j(P_j^v)] for each block."""
        return _beside(self.text, self.to_text, self.visual)

    def image_prompts(self) -> Float[Tensor, "depth prompt visual_width"]:
        """[P_j^v ; f_j(P_j^t)] for each block."""
        return _beside(self.visual, self.to_image, self.text)

    def tensors(self) -> dict[str, Tensor]:
        """Everything by name, to save and to restore."""
        return {
            "prompts/text": self.text,
            "prompts/visual": self.visual,
            "prompts/rows": self.rows,
            **layer_tensors("prompts/to_image", self.to_image),
            **layer_tensors("prompts/to_text", self.to_text),
        }

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The inverse of ``tensors``."""
        return cls(
            text=tensors["prompts/text"],
            visual=tensors["prompts/visual"],
            rows=tensors["prompts/rows"],
            to_image=restored_layers("prompts/to_image", tensors),
            to_text=restored_layers("prompts/to_text", tensors),
        )


def _beside(
    own: Float[Tensor, "depth token width"],
    layers: tuple[Linear, ...],
    others: Float[Tensor, "depth other other_width"],
) -> Float[Tensor, "depth prompt width"]:
    if not layers:
        return own
    mapped = torch.stack([layer(tokens) for layer, tokens in zip(layers, others, strict=True)])
    return torch.cat([own, mapped], dim=1)
