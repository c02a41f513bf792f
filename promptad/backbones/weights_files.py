"""The file of a backbone's weights: the user's, one in a cache of this machine, or downloaded to a cache."""

from __future__ import annotations

import logging
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

from promptad.backbones import cnn
from promptad.backbones.backbone_names import BackboneError, BackboneName, file_spelling
from promptad.backbones.known_weights import file_digests, hub_has_anothers, known_tag, published, published_digests

ANSWER_SECONDS = 10
"""Seconds within which a server must report a file's size; the download itself has its client's limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPlace:
    """Source and target of a download; ``size`` in bytes, None if the server does not report it."""

    url: str
    folder: Path
    size: int | None


def checkpoint_path(name: BackboneName) -> Path:
    """The file of a backbone's weights; a missing one is downloaded, with a notice on stderr.

    Raises:
        BackboneError: the weights cannot be downloaded, or the file is not the tag's.
    """
    if name.is_tiny:
        from promptad.tiny.model import WEIGHTS

        return Path(WEIGHTS)
    if name.is_file:
        return Path(name.source)
    urls: list[str] = []
    try:
        with Quiet("huggingface_hub", "open_clip"):
            if not weights_are_here(name) and (urls := _urls(name)):
                print(_announcement(name, _answering(urls)), file=sys.stderr, flush=True)
            if name.is_cnn:
                return cnn.hub_checkpoint(name.network, name.source)
            found = Path(open_clip.download_pretrained(_entry(name)))
    except Exception as error:
        raise _fetch_error(name, urls, error) from error
    _require_own(name, found)
    return found


def weights_are_here(name: BackboneName) -> bool:
    """Whether ``load_backbone`` needs no network: the weights are embedded, random, a file, or in a local cache."""
    if name.is_tiny or name.is_random or name.is_file:
        return True
    if name.is_cnn:
        return cnn.hub_checkpoint_is_here(name.network, name.source)
    return _in_hub_cache(name) or _in_address_cache(name)


def _entry(name: BackboneName) -> dict[str, Any]:
    """A tag's entry of open_clip's table, without its hub repository if the weights are not from there."""
    entry = dict(published(name.architecture, name.source))
    anothers = hub_has_anothers(name.architecture, name.source)
    if anothers and not entry.get("url"):
        raise LookupError("the hub's repository is another tag's, and there is no other place")
    if anothers or (_in_address_cache(name) and not _in_hub_cache(name)):
        entry["hf_hub"] = ""
    return entry


def _hub_files(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Repository and file of an entry on the hub, in the order in which open_clip tries them."""
    repository, _, file = entry.get("hf_hub", "").rpartition("/")
    files = (file,) if file else (open_clip.constants.HF_SAFE_WEIGHTS_NAME, open_clip.constants.HF_WEIGHTS_NAME)
    return [(repository, each) for each in files] if repository else []


def _in_hub_cache(name: BackboneName) -> bool:
    """Whether the hub's cache holds a tag's weights; another tag's, which the table names for it, do not count."""
    if hub_has_anothers(name.architecture, name.source):
        return False
    files = _hub_files(dict(published(name.architecture, name.source)))
    return any(isinstance(try_to_load_from_cache(repository, file), str) for repository, file in files)


def _address_folder() -> Path:
    """open_clip's own cache, for weights that are not on the hub."""
    return Path.home() / ".cache" / "clip"


def _in_address_cache(name: BackboneName) -> bool:
    """Whether open_clip's own cache holds a tag's weights; open_clip checks their SHA-256 before use."""
    url = published(name.architecture, name.source).get("url", "")
    return bool(url) and (_address_folder() / url.rpartition("/")[2]).is_file()


def _urls(name: BackboneName) -> list[str]:
    """The addresses that are tried for a tag's weights, in order."""
    if name.is_cnn:
        return [hf_hub_url(*cnn.hub_place(name.network, name.source))]
    entry = _entry(name)
    return [hf_hub_url(*each) for each in _hub_files(entry)] or [url for url in (entry.get("url"),) if url]


def _answering(urls: list[str]) -> FetchPlace:
    """The first address that reports its file's size; if none does, the first one, of unknown size."""
    for url in urls:
        try:
            if (size := _size(url)) is not None:
                return FetchPlace(url=url, folder=_folder(url), size=size)
        except Exception:
            continue
    return FetchPlace(url=urls[0], folder=_folder(urls[0]), size=None)


def _size(url: str) -> int | None:
    if _on_hub(url):
        return get_hf_file_metadata(url, timeout=ANSWER_SECONDS).size
    request = urllib.request.Request(url, method="HEAD")
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
        length = answer.headers.get("Content-Length")
    return int(length) if length else None


def _on_hub(url: str) -> bool:
    return url.startswith(constants.ENDPOINT)


def _folder(url: str) -> Path:
    return Path(constants.HF_HUB_CACHE) if _on_hub(url) else _address_folder()


def _announcement(name: BackboneName, place: FetchPlace) -> str:
    size = "size unknown" if place.size is None else f"{place.size / 1e6:,.0f} MB"
    return (
        f"fetching weights {name.source} of {name.architecture} ({size}) from {place.url} to {place.folder}: "
        "they are not on this machine yet"
    )


def _require_own(name: BackboneName, path: Path) -> None:
    """Check a tag's file against the known digests: its own, if there is one, and those of other tags.

    The hub's files hold the same weights in another format, so their digests are unknown.
    """
    digests = published_digests(name.architecture)
    if not digests:
        return
    sha256, own = file_digests(path).sha256, digests.get(name.source)
    if own is not None and sha256.startswith(own):
        return
    other = known_tag(name.architecture, path)
    from_address = path.parent == _address_folder()
    if other is None and not (own is not None and from_address):
        return
    holds = f"holds those of {other}" if other else f"has SHA-256 {sha256[:16]}..., not {own[:16] if own else ''}..."
    raise BackboneError(
        f"weights {name.source} of {name.architecture} are not what was fetched: {path} {holds}. Delete that file and "
        f"run again, or pass {file_spelling(name)} with a file of your own"
    )


def _fetch_error(name: BackboneName, urls: list[str], error: Exception) -> BackboneError:
    reason = (str(error).splitlines() or ["no reason given"])[0][:200]
    fetch = f"Download {urls[0]} on a connected machine" if urls else "Fetch them on a connected machine"
    return BackboneError(
        f"weights {name.source} of {name.architecture} are not on this machine and could not be fetched "
        f"({type(error).__name__}: {reason}). {fetch}, copy the file here and pass "
        f"{file_spelling(name)}, or use the embedded backbone tiny"
    )


class Quiet:
    """Raise the level of some loggers for a while: open_clip and the hub client print what our errors report too."""

    def __init__(self, *names: str) -> None:
        self._loggers = [logging.getLogger(None if name == "root" else name) for name in names]
        self._levels: list[int] = []

    def __enter__(self) -> None:
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.setLevel(logging.CRITICAL)

    def __exit__(self, *_: object) -> None:
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.setLevel(level)
