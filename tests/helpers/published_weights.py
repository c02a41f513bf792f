"""Entries of open_clip's table for architectures of the tests, and files with the weights that they name."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from helpers import small_models
from torch import nn

TWIN = "small-twin"
"""An architecture that has weights of both activations; its twin with QuickGELU is ``small-twin-quickgelu``."""


def weights_file(path: Path, architecture: str = TWIN, seed: int = 1) -> Path:
    """A plain state dict."""
    torch.save(dict(small_models.small_model(architecture, seed).state_dict()), path)
    return path


def archive_file(path: Path, architecture: str = TWIN, seed: int = 1) -> Path:
    """A TorchScript archive as OpenAI's: half precision, and three numbers that are no weights."""
    root = nn.Module()
    numbers = {"input_resolution": 32, "context_length": 32, "vocab_size": 49408}
    state = {name: value.half() for name, value in small_models.small_model(architecture, seed).state_dict().items()}
    for name, value in (state | {name: torch.tensor(number) for name, number in numbers.items()}).items():
        *parents, last = name.split(".")
        module = root
        for parent in parents:
            if not hasattr(module, parent):
                module.add_module(parent, nn.Module())
            module = getattr(module, parent)
        module.register_buffer(last, value)
    torch.jit.save(torch.jit.script(root), str(path))
    return path


def publish(monkeypatch: pytest.MonkeyPatch, tags: Mapping[str, dict[str, Any]], architecture: str = TWIN) -> None:
    """Put tags into the table as open_clip does: those of QuickGELU under the twin's name too."""
    plain = {"url": "", "hf_hub": "", "mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    table = {tag: plain | entry for tag, entry in tags.items()}
    quick = {tag: entry for tag, entry in table.items() if entry.get("quick_gelu")}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, architecture, table)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, f"{architecture}-quickgelu", quick)


def openai_address(path: Path) -> str:
    """An address with the SHA-256 of a file in it."""
    return f"https://openaipublic.azureedge.net/clip/models/{hashlib.sha256(path.read_bytes()).hexdigest()}/any.pt"


def release_address(path: Path) -> str:
    """An address that ends with the first digits of a file's SHA-256."""
    return f"https://github.com/releases/any-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pt"
