"""The tiny image-text model in open_clip's architecture, its tokenizer and its weights file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import open_clip
import safetensors.torch
import torch
from open_clip.model import set_model_preprocess_cfg
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

IMAGE_SIZE = 96
PATCH_SIZE = 8
CONTEXT_LENGTH = 32
VOCABULARY_SIZE = 49408
IMAGE_MEAN: tuple[float, float, float] = open_clip.OPENAI_DATASET_MEAN
IMAGE_STD: tuple[float, float, float] = open_clip.OPENAI_DATASET_STD
VISION_LAYERS = 5
TEXT_LAYERS = 3
WEIGHTS = Path(__file__).with_name("weights.safetensors")

_EMBEDDING = "token_embedding.weight"
_ROWS, _IDS = "token_rows", "token_ids"


def build_model(*, vocabulary_size: int = VOCABULARY_SIZE, seed: int = 0) -> open_clip.CLIP:
    """The untrained model: ViT 96/8 of width 128, 5 blocks; text width 128, 3 layers; embedding 128; scale ln 100.

    Random weights are drawn from `seed`; the global random state is left as it was.
    """
    vision = {
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH_SIZE,
        "width": 128,
        "layers": VISION_LAYERS,
        "head_width": 32,
    }
    text = {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": vocabulary_size,
        "width": 128,
        "heads": 4,
        "layers": TEXT_LAYERS,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CLIP(
            embed_dim=128, vision_cfg={**vision, "mlp_ratio": 3.0}, text_cfg=text, init_logit_scale=math.log(100.0)
        )
    set_model_preprocess_cfg(model, {"size": IMAGE_SIZE, "mean": IMAGE_MEAN, "std": IMAGE_STD})
    return model


def tiny_tokenizer() -> SimpleTokenizer:
    """open_clip's byte-pair tokenizer at the tiny model's context length."""
    return SimpleTokenizer(context_length=CONTEXT_LENGTH)


def save_tiny(model: open_clip.CLIP, token_ids: Tensor, path: Path) -> None:
    """Write half-precision weights; `model` has a compact table whose row i + 1 is token `token_ids[i]`, row 0 unused.

    Raises:
        ValueError: the table's length does not fit the ids.
    """
    state: dict[str, Tensor] = {name: value.detach() for name, value in model.state_dict().items()}
    table = state.pop(_EMBEDDING)
    if len(table) != len(token_ids) + 1:
        raise ValueError(f"the compact table must have {len(token_ids) + 1} rows (ids + 1), but has {len(table)}")
    tensors = {name: value.half().contiguous() for name, value in state.items()}
    tensors[_ROWS] = table[1:].half().contiguous()
    tensors[_IDS] = token_ids.to(torch.int32).contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".partial")
    safetensors.torch.save_file(tensors, scratch)
    scratch.chmod(0o644)  # safetensors writes private files
    scratch.replace(path)


def load_tiny(path: Path = WEIGHTS) -> tuple[open_clip.CLIP, SimpleTokenizer]:
    """The trained model (eval mode, float32, CPU) and its tokenizer.

    Words that never occurred in training have a zero embedding: to the model an unseen name means "object".

    Raises:
        FileNotFoundError: no weights file at `path`.
        RuntimeError: a tensor is missing, left over or of another shape.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"the tiny model's weights must be at {path}: run python -m promptad.tiny.training.train"
        )
    tensors: dict[str, Any] = {name: value.float() for name, value in safetensors.torch.load_file(path).items()}
    rows, ids = tensors.pop(_ROWS), tensors.pop(_IDS).long()
    model = build_model()
    tensors[_EMBEDDING] = torch.zeros(VOCABULARY_SIZE, rows.shape[1]).index_copy(0, ids, rows)
    model.load_state_dict(tensors, strict=True)
    model.eval()
    return model, tiny_tokenizer()


def load_compact(path: Path, token_ids: Tensor) -> open_clip.CLIP:
    """The model with a compact table, as it is trained, from saved weights; to go on with a training.

    Raises:
        ValueError: the file was written with another vocabulary.
    """
    tensors: dict[str, Any] = {name: value.float() for name, value in safetensors.torch.load_file(path).items()}
    rows, ids = tensors.pop(_ROWS), tensors.pop(_IDS).long()
    if not torch.equal(ids, token_ids):
        raise ValueError(f"{path} must have the captions' {len(token_ids)} tokens, but has {len(ids)}: train anew")
    model = build_model(vocabulary_size=len(token_ids) + 1)
    tensors[_EMBEDDING] = torch.cat([torch.zeros(1, rows.shape[1]), rows])
    model.load_state_dict(tensors, strict=True)
    return model


def known_words(tokenizer: SimpleTokenizer, phrases: list[str]) -> Tensor:
    """Sorted token ids (n,) that occur in the phrases, with the start and end tokens; the end token is the last."""
    ids = {tokenizer.sot_token_id, tokenizer.eot_token_id}
    for phrase in phrases:
        ids.update(tokenizer.encode(phrase))
    return torch.tensor(sorted(ids), dtype=torch.long)
