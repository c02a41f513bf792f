"""The file of a fitted detector: its settings and its tensors."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from promptad.configs.method_config import ConfigError
from promptad.configs.promptad_config import PromptADConfig
from promptad.user_error import UserError

FORMAT = "promptad-detector-1"
_TEXTS = ("backbone", "weights", "category", "config")
"""Keys that the metadata must have beside the format; files of later versions add ``activation`` and ``digest``."""


class DetectorError(UserError):
    """A detector that cannot be fitted, saved, loaded or used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorFile:
    """Content of a detector's file: name and digest of a backbone, not its weights, and ``tensors`` by name.

    ``activation`` is that of the backbone's towers, empty for none; None in a file from before it was recorded.
    ``intact`` is false if the file was changed since; for a file from before digests this is unknown.
    """

    backbone: str
    weights: str
    activation: str | None
    category: str
    config: PromptADConfig
    tensors: Mapping[str, Tensor]
    intact: bool = True

    def write(self, path: Path) -> None:
        """Write the file under a temporary name, then rename it: an earlier detector stays until then.

        Raises:
            DetectorError: there is no such folder, or it cannot be written to.
        """
        description = {
            "format": FORMAT,
            "backbone": self.backbone,
            "weights": self.weights,
            "activation": self.activation or "",
            "category": self.category,
            "config": json.dumps(self.config.as_dict()),
        }
        description["digest"] = _digest(description, self.tensors)
        if not path.parent.is_dir():
            raise DetectorError(f"detector {path} cannot be saved: there is no folder {path.parent}, make it first")
        part = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
        try:
            part.write_bytes(save(dict(self.tensors), metadata=description))
            part.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise DetectorError(f"detector {path} cannot be saved: {error.strerror or error}") from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what ``write`` wrote.

        Raises:
            DetectorError: not such a file, or one whose metadata are damaged.
        """
        try:
            with safe_open(path, framework="pt") as file:
                description = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise DetectorError(f"detector {path} cannot be read: {error}") from error
        if description.get("format") != FORMAT:
            raise DetectorError(f"detector {path} must be of format {FORMAT}, but is {description.get('format')}")
        if missing := [name for name in _TEXTS if not description.get(name)]:
            raise DetectorError(f"detector {path} must say its {', '.join(missing)}, but does not: fit it again")
        digest = description.pop("digest", None)
        return cls(
            backbone=description["backbone"],
            weights=description["weights"],
            activation=description.get("activation"),
            category=description["category"],
            config=_config(path, description["config"]),
            tensors=tensors,
            intact=digest is None or digest == _digest(description, tensors),
        )

    def check_parts(self, path: Path, wanted: Mapping[str, int | None], *, dtype: torch.dtype) -> None:
        """Check that the tensors fit the config and the backbone: names, widths, finite numbers.

        ``wanted`` is the width (last axis) of each tensor by name, None if the backbone does not determine it.

        Raises:
            DetectorError: names the tensors that are missing, unexpected, of another form or not finite; or the file
            was changed in another way.
        """
        problems = _named("lacks", wanted.keys() - self.tensors.keys())
        problems += _named("has in addition", self.tensors.keys() - wanted.keys())
        for name in sorted(wanted.keys() & self.tensors.keys()):
            tensor, width = self.tensors[name], wanted[name]
            if tensor.ndim < 2 or not tensor.numel() or (width is not None and tensor.shape[-1] != width):
                problems.append(f"has {name} of shape {tuple(tensor.shape)}, which does not fit the backbone")
            elif tensor.dtype != dtype:
                problems.append(f"has {name} in {tensor.dtype}, not in {dtype}")
            elif not bool(torch.isfinite(tensor).all()):
                problems.append(f"has NaN or infinite values in {name}")
        if problems:
            raise DetectorError(f"detector {path} is damaged, it {'; '.join(problems)}: fit it again")
        if not self.intact:
            raise DetectorError(f"detector {path} was changed after it was saved: copy it again, or fit it again")


def _config(path: Path, text: str) -> PromptADConfig:
    try:
        values: object = json.loads(text)
        if not isinstance(values, dict):
            raise DetectorError(f"detector {path} must hold its config as fields, but holds {text[:40]!r}")
        return PromptADConfig.from_dict(values)
    except (json.JSONDecodeError, RecursionError, ConfigError) as error:
        raise DetectorError(f"detector {path} holds no config of this version: {error}") from error


def _digest(description: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """Digest (hex) of the whole content: no other check detects a changed byte of a memory."""
    found = hashlib.blake2b(json.dumps(dict(description), sort_keys=True).encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        found.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _named(what: str, names: Collection[str]) -> list[str]:
    return [f"{what} {', '.join(sorted(names))}"] if names else []
