"""Trains the tiny image-text model: `python -m promptad.tiny.training.train --minutes 22 --out weights.safetensors`."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor
from torch.overrides import TorchFunctionMode

from promptad.backbones.towers import TowerOutput, encode_images
from promptad.tiny.model import (
    IMAGE_SIZE,
    PATCH_SIZE,
    WEIGHTS,
    build_model,
    known_words,
    load_compact,
    load_tiny,
    save_tiny,
    tiny_tokenizer,
)
from promptad.tiny.render.families import VALIDATION
from promptad.tiny.render.scene import to_bytes
from promptad.tiny.training import captions, objectives
from promptad.tiny.training.batches import Batch, batches, truth_matrix
from promptad.tiny.training.evaluate import LOCAL, MEMORY_BLOCKS, Probe, mean_scores, probe_scores
from promptad.tiny.training.pool import Pool, render_pair, render_pool

GLOBAL_WEIGHT = 2.0
"""Weight of the global term: image-level scores are the last to be learned."""

EMBEDDING_NOISE = 0.02
"""Standard deviation of the embeddings that stand for unseen words in training (PromptAD draws its contexts so)."""


class Float32Attention(TorchFunctionMode):
    """Inside it and bfloat16 autocast, attention alone runs in float32: its bfloat16 backward is 5 x slower on CPUs."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return func(*(part.float() for part in args), **(kwargs or {}))
        return func(*args, **(kwargs or {}))


class CompactText:
    """The text tower over the trained words only; the rest map to row 0, which is noise in training and zero after."""

    def __init__(self, model: open_clip.CLIP, tokenizer: SimpleTokenizer, token_ids: Tensor) -> None:
        self.model, self.tokenizer = model, tokenizer
        # indices keep the order of the ids, so that the end token stays the largest: the tower pools at the argmax
        self.row_of = torch.zeros(len(tokenizer.encoder), dtype=torch.long)
        self.row_of[token_ids] = torch.arange(1, len(token_ids) + 1)
        self.end = int(self.row_of[tokenizer.eot_token_id])

    def encode(self, texts: list[str], noise: torch.Generator) -> Tensor:
        """Normalised text features (n, c)."""
        model, rows = self.model, self.row_of[self.tokenizer(texts)]
        end = rows.argmax(dim=1)
        rows = rows[:, : int(end.max()) + 1]  # the mask is causal: what follows the end token changes nothing
        unknown = (rows == 0).unsqueeze(-1).float()
        embedded = model.token_embedding(rows) * (1.0 - unknown)
        embedded = embedded + unknown * EMBEDDING_NOISE * torch.randn(embedded.shape, generator=noise)
        hidden = embedded + model.positional_embedding[: rows.shape[1]]
        hidden = model.transformer(hidden, attn_mask=model.attn_mask[: rows.shape[1], : rows.shape[1]])
        hidden = model.ln_final(hidden)[torch.arange(len(rows)), end] @ model.text_projection
        return F.normalize(hidden.float(), dim=-1)


def losses(output: TowerOutput, texts: Tensor, batch: Batch, scale: float, mean_prompt: bool) -> dict[str, Tensor]:
    """The named terms of the training loss; `texts` are features of normal, anomalous, own and other kind captions."""
    pairs = len(batch.masks)
    normal, anomalous, own, other = texts.split(pairs)
    prompt = F.normalize(anomalous + own + other, dim=-1) if mean_prompt else anomalous
    image = F.normalize(output.global_feature.float(), dim=-1)
    local = F.normalize(output.local["vv"].float(), dim=-1)
    cover = objectives.patch_cover(batch.masks, PATCH_SIZE)
    target = (cover / 0.25).clamp(max=1.0)
    all_targets = torch.cat([torch.zeros_like(target), target])
    state = torch.cat([torch.zeros(pairs), torch.ones(pairs)])
    twice = (normal.repeat(2, 1), prompt.repeat(2, 1))
    patch_logits = objectives.anomaly_logits(local, *twice, scale)
    inside, outside = objectives.pooled(local[pairs:], cover), objectives.pooled(local[pairs:], 1.0 - target)
    regions = torch.cat([outside, inside])
    truth = truth_matrix(batch)
    few_shot = torch.zeros(())
    for block in MEMORY_BLOCKS:
        patches = F.normalize(output.blocks[block].float(), dim=-1)
        flawless, defective = patches[:pairs], patches[pairs:]
        distances = torch.cat(
            [objectives.nearest_distance(flawless, defective), objectives.nearest_distance(defective, flawless)]
        )
        few_shot = few_shot + objectives.few_shot_loss(distances, all_targets) / len(MEMORY_BLOCKS)
    return {
        "contrast": objectives.multi_positive_contrastive(scale * image @ texts[: 3 * pairs].T, truth),
        "global": GLOBAL_WEIGHT
        * F.binary_cross_entropy_with_logits(objectives.anomaly_logits(image, *twice, scale), state),
        "patch": objectives.balanced_cross_entropy(patch_logits, all_targets)
        + objectives.dice_loss(torch.sigmoid(patch_logits[pairs:]), target),
        "region": 0.5 * objectives.multi_positive_contrastive(scale * regions @ texts[: 3 * pairs].T, truth),
        "few_shot": few_shot,
    }


def validation_probes(seed: int = 12345, products: int = 2, tests: int = 12) -> list[Probe]:
    """Few-shot problems on the validation families with the training kinds of defect; one support image each."""
    probes = []
    for family in VALIDATION:
        for product in range(products):
            pairs = [render_pair((family,), IMAGE_SIZE, seed, index, product) for index in range(tests)]
            support = family.render(product, np.random.default_rng([seed, product]), IMAGE_SIZE)
            normal = [to_bytes(pair.flawless) for pair in pairs]
            masks = np.stack([pair.mask for pair in pairs])
            probes.append(
                Probe(
                    name=family.name,
                    support=to_bytes(support.image)[None],
                    test=np.stack(normal + [to_bytes(pair.defective) for pair in pairs]),
                    masks=np.concatenate([np.zeros_like(masks), masks]),
                )
            )
    return probes


def logit_scale_at(progress: float) -> float:
    """14 at the start, 100 from two thirds of the training on: then training matches scoring at 100."""
    return 14.0 * math.pow(100.0 / 14.0, min(1.0, progress * 1.5))


def learning_rate_at(progress: float, peak: float) -> float:
    """Linear warm-up over 3 per cent of the training, then a cosine to a fiftieth of the peak."""
    if progress < 0.03:
        return peak * max(progress / 0.03, 0.02)
    return peak * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * (progress - 0.03) / 0.97)))


def train(
    pool: Pool,
    *,
    minutes: float,
    pairs: int,
    peak: float,
    seed: int,
    out: Path,
    probes: list[Probe],
    resume: Path | None = None,
) -> int:
    """Train for `minutes` of wall clock, save the weights to `out` (also every few minutes); returns images seen.

    With `resume`, go on from saved weights, at the final logit scale and with the learning rate warmed up again.
    """
    tokenizer = tiny_tokenizer()
    token_ids = known_words(tokenizer, list(captions.all_words()))
    if resume is None:
        model = build_model(vocabulary_size=len(token_ids) + 1, seed=seed)
    else:
        model = load_compact(resume, token_ids)
    text = CompactText(model, tokenizer, token_ids)
    model.logit_scale.requires_grad_(False)
    noise = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    decayed = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
    free = [p for p in model.parameters() if p.requires_grad and p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": free, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98))
    started, seen, step, looked = time.monotonic(), 0, 0, 0.0
    for batch in batches(pool, pairs, rng):
        progress = (time.monotonic() - started) / (60.0 * minutes)
        if progress >= 1.0:
            break
        for group in optimiser.param_groups:
            group["lr"] = learning_rate_at(progress, peak)
        with torch.autocast("cpu", dtype=torch.bfloat16), Float32Attention():
            output = encode_images(model.visual, batch.images, local=LOCAL, blocks=MEMORY_BLOCKS)
        texts = text.encode([*batch.normal, *batch.anomalous, *batch.own_kind, *batch.other_kind], noise)
        scale = logit_scale_at(progress if resume is None else 1.0)
        terms = losses(output, texts, batch, scale, mean_prompt=bool(rng.random() < 0.5))
        loss = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        seen, step = seen + 2 * pairs, step + 1
        if step % 100 == 0:
            shown = " ".join(f"{name} {value.item():.3f}" for name, value in terms.items())
            print(f"{progress:5.1%} images {seen} {shown}", flush=True)
        if progress - looked > 0.125:
            looked = progress
            save_tiny(model, token_ids, out)
            print(f"{progress:5.1%} validation {report(out, probes)}", flush=True)
    save_tiny(model, token_ids, out)
    print(f"end: {step} steps, {seen} images, validation {report(out, probes)}", flush=True)
    return seen


def report(weights: Path, probes: list[Probe]) -> str:
    """One line: image / pixel AUROC of prompt, vision and fused, averaged over the probes."""
    model, tokenizer = load_tiny(weights)
    means = mean_scores([probe_scores(model, tokenizer, probe, augment=False) for probe in probes])
    return "; ".join(f"{name} {image:.3f} / {pixel:.3f}" for name, (image, pixel) in means.items())


def parse(arguments: list[str]) -> argparse.Namespace:
    """Command line of the training script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=22.0, help="wall-clock minutes of training, rendering not counted"
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--pool", type=Path, required=True, help="scratch folder for the rendered pairs (60 kB a pair)")
    parser.add_argument("--pool-pairs", type=int, default=30000)
    parser.add_argument("--pairs", type=int, default=16, help="pairs of images in a batch")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--resume", type=Path, help="saved weights to go on from")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    """Render the pool, train, save."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    pool = render_pool(options.pool, options.pool_pairs, IMAGE_SIZE, options.seed, options.threads)
    train(
        pool,
        minutes=options.minutes,
        pairs=options.pairs,
        peak=options.learning_rate,
        seed=options.seed,
        out=options.out,
        probes=validation_probes(),
        resume=options.resume,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
