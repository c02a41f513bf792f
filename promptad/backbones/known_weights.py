"""Facts from open_clip's table of published weights: the tag of a file, and the activation of its training.

Two networks of one architecture may differ only in the activation of their towers: GELU, or OpenAI's QuickGELU.
Weights do not show with which one they were trained: they run with the wrong one without an error.
"""

from __future__ import annotations

import functools
import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import open_clip

Activation = Literal["gelu", "quick_gelu"]
"""Activation between the two layers of each feed-forward network of a transformer: GELU, or x sigmoid(1.702 x)."""

QUICK = "-quickgelu"
"""Ending of an architecture's name in open_clip whose twin without it has GELU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigests:
    """Digests (hex) of one file: ``sha256`` as publishers give it, ``blake2b`` (128 bits) as cells record it."""

    sha256: str
    blake2b: str


def file_digests(path: Path) -> FileDigests:
    """Both digests of a file from one reading, remembered in this process until its size or time changes."""
    found = path.stat()
    return _file_digests(path.resolve(), found.st_size, found.st_mtime_ns)


def known_tag(architecture: str, path: Path) -> str | None:
    """The tag of this architecture whose weights file has the same SHA-256; None if there is none.

    Tags that are only on the hub have no published digest: their files are never recognised.
    """
    if not (published := published_digests(plain(architecture))):
        return None
    sha256 = file_digests(path).sha256
    return next((tag for tag, digest in published.items() if sha256.startswith(digest)), None)


def plain(architecture: str) -> str:
    """The name of an architecture without its ending for the activation."""
    return architecture.removesuffix(QUICK)


def published(architecture: str, tag: str) -> Mapping[str, Any]:
    """open_clip's table entry of a tag: addresses of its weights, ``quick_gelu``, mean and deviation of its images."""
    found: Mapping[str, Any] = open_clip.get_pretrained_cfg(plain(architecture), tag)
    return found


def activation_of_tag(architecture: str, tag: str) -> Activation:
    """The activation with which a tag's weights were trained, whatever the architecture's config has."""
    return _named(published(architecture, tag))


def activation_of_architecture(architecture: str) -> Activation:
    """The activation of the architecture's own config."""
    return _named(open_clip.get_model_config(architecture))


def activations(architecture: str) -> frozenset[Activation]:
    """The activations with which weights of an architecture can have been trained, by all of open_clip's entries."""
    if architecture.endswith(QUICK):
        return frozenset({activation_of_architecture(architecture)})
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    found = {activation_of_architecture(architecture), *(activation_of_tag(architecture, tag) for tag in tags)}
    if f"{architecture}{QUICK}" in open_clip.list_models():
        found.add("quick_gelu")
    return frozenset(found)


def hub_has_anothers(architecture: str, tag: str) -> bool:
    """Whether the hub repository that the table gives for a tag has the name of another tag of the architecture.

    open_clip 3.3 names ``...laion400m_e31`` for ``ViT-B-16-plus-240:laion400m_e32``; the tag's own address is right.
    """
    repository = published(architecture, tag).get("hf_hub", "").split("/")[1:2]
    ending = "".join(repository).rpartition(".")[2]
    return ending != tag and ending in open_clip.list_pretrained_tags_by_model(plain(architecture))


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, which is a program and not only weights; OpenAI publishes such files."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return any(name.endswith("/constants.pkl") for name in names) and any("/code/" in name for name in names)


@functools.lru_cache(maxsize=64)
def _file_digests(path: Path, _size: int, _time: int) -> FileDigests:
    sha256, blake2b = hashlib.sha256(), hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            sha256.update(block)
            blake2b.update(block)
    return FileDigests(sha256=sha256.hexdigest(), blake2b=blake2b.hexdigest())


def published_digests(architecture: str) -> dict[str, str]:
    """The SHA-256 of tags (or its first digits), from the addresses by which open_clip checks downloads."""
    found = {}
    for tag in open_clip.list_pretrained_tags_by_model(architecture):
        url = published(architecture, tag).get("url", "")
        file = url.rpartition("/")[2]
        whole, first = re.search(r"/([0-9a-f]{64})/[^/]+$", url), re.search(r"-([0-9a-f]{8})\.\w+$", file)
        if match := whole or first:
            found[tag] = match[1]
    return found


def _named(config: Mapping[str, Any]) -> Activation:
    return "quick_gelu" if config.get("quick_gelu") else "gelu"
