"""Reads a checkpoint file of any writer: its weights by name, or one line that states why they cannot be read."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from promptad.user_error import UserError

Container = Literal["safetensors", "zip", "legacy"]
"""How a file keeps weights: safetensors, or ``torch.save``'s format of since, or of before, torch 1.6."""

WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "state_dict_ema", "model_ema", "ema")
"""Keys under which training programs keep a model's weights beside their own state."""

PREFIXES = ("module.", "_orig_mod.", "model.")
"""Prefixes that wrappers of modules (parallel training, compilation, training frameworks) add to every name."""

NO_WEIGHTS = frozenset({"input_resolution", "context_length", "vocab_size"})
"""Numbers that OpenAI's archives hold beside the weights."""

_ZIP, _LEGACY = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_FOREIGN: Mapping[str, tuple[bytes, ...]] = {
    "a web page: the link leads to a page about the file, download the file itself": (b"<",),
    "a pointer of Git LFS: fetch the file behind it (git lfs pull)": (b"version https://git-lfs",),
    "a pointer of git-annex: fetch the file behind it (git annex get)": (b"/annex/objects/",),
    "a gzip archive: unpack it": (b"\x1f\x8b",),
    "an array file of NumPy": (b"\x93NUMPY",),
}


class CheckpointError(UserError):
    """A file without weights, or without the expected ones; the message is one line without the file's name."""


def container_of(path: Path) -> Container:
    """How a file keeps its weights, by its first bytes and not by its name.

    Raises:
        CheckpointError: it is cut short, or something else than a checkpoint.
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(4096)
    if not start:
        raise CheckpointError("is empty: copy or download it again")
    if start.startswith(_ZIP):
        if not zipfile.is_zipfile(path):
            raise CheckpointError(f"is cut short after {size} bytes: copy or download it again")
        return "zip"
    if start.startswith(_LEGACY):
        return "legacy"
    for what, beginnings in _FOREIGN.items():
        if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(beginnings):
            raise CheckpointError(f"is {what}")
    if start[8:9] == b"{" and (length := struct.unpack("<Q", start[:8])[0]) < 100_000_000:
        if size < 8 + length:
            raise CheckpointError(f"is cut short after {size} bytes: copy or download it again")
        try:
            with safe_open(path, framework="pt"):
                return "safetensors"
        except SafetensorError as error:
            raise CheckpointError(_damaged(error)) from error
    if start[:1] == b"\x80":
        raise CheckpointError("is a pickle that torch.save did not write: write its state dict with torch.save")
    raise CheckpointError("must be safetensors or what torch.save writes, but is neither")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights of a file by name, on the CPU and of the type they are stored in.

    Weights that a training program keeps under a name of ``WRAPPERS`` are taken out of there, and what ``PREFIXES``
    put before every name is taken away. Reads as safetensors or with ``weights_only=True``: nothing in a file is run.

    Raises:
        CheckpointError: the file is no checkpoint, is damaged, wants to run code, or holds no or several sets of
            weights.
        OSError: it cannot be read.
    """
    return _plain_names(_unwrapped(_content(path, container_of(path))))


def _content(path: Path, container: Container) -> Any:
    if container == "safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise CheckpointError(_damaged(error)) from error
    try:
        if container == "zip" and path.suffix != ".safetensors":
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        # From an open file: of a path, torch believes the ending.
        with path.open("rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # torch raises what its parts raise: UnpicklingError, RuntimeError, EOFError, KeyError
        raise CheckpointError(_unloadable(error)) from error


def _unloadable(error: Exception) -> str:
    """What is wrong with a file that torch does not load; only torch's text separates foreign objects from damage."""
    said = str(error)
    found = re.search(r"GLOBAL (\S+)|(?:class|type|function) (?:<class ')?([\w.]+)", said)
    if not said.startswith("Weights only load failed") or found is None:
        return _damaged(error)
    return (
        f"holds Python objects beside weights ({found[1] or found[2]}), and to load those can run a program: write its "
        "state dict alone with torch.save"
    )


def _unwrapped(content: Any) -> dict[str, Tensor]:
    for _ in range(3):
        if not isinstance(content, Mapping):
            raise CheckpointError(f"must hold weights by name, but holds a {type(content).__name__}")
        inner = [name for name in WRAPPERS if isinstance(content.get(name), Mapping) and content[name]]
        if len(inner) > 1:
            raise CheckpointError(
                f"holds several sets of weights ({', '.join(inner)}): write the one that you mean with torch.save"
            )
        if not inner:
            break
        content = content[inner[0]]
    if weights := {str(name): value for name, value in content.items() if isinstance(value, Tensor)}:
        return weights
    raise CheckpointError(f"must hold weights by name, but holds {shown([str(name) for name in content], 'value')}")


def _plain_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    while prefix := next((each for each in PREFIXES if all(name.startswith(each) for name in weights)), None):
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return {name: value for name, value in weights.items() if name not in NO_WEIGHTS}


def shown(names: Sequence[str], what: str) -> str:
    """How many there are and two of them, for a message of one line: ``3 weights (a, b, ...)``."""
    counted = f"{len(names)} {what}{'' if len(names) == 1 else 's'}"
    some = ", ".join(str(name)[:80] for name in names[:2])
    return f"{counted} ({some}{', ...' if len(names) > 2 else ''})" if names else f"no {what}"


def _damaged(error: BaseException) -> str:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
    return f"is cut short or damaged ({reason}): copy or download it again"
