"""What headings say of plans that would look alike: whose data, suffixes and support images, which weights."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

Raw = Mapping[str, Any]

LISTS = {"suffixes": "suffixes", "support": "support"}
"""Files with texts by category that a user may name, and what headings call them."""


def told_apart(plans: Sequence[Raw]) -> list[dict[str, Any]]:
    """The same plan documents with titles that differ, and data titles that name the user's own folders and files.

    A folder is called by its name, or by as many of its parents as tell it from the other folders of these plans; so
    are files. Where one path held different content at different times, a digest of the content is added. Titles that
    are equal get what their plans differ in, at last the digest in the plan's name.
    """
    titles = data_titles(plans)
    return _with_titles([{**plan, "dataset_title": title} for plan, title in zip(plans, titles, strict=True)])


def data_titles(documents: Sequence[Raw]) -> list[str]:
    """The data's title of each plan or search, with the user's own folders and files, told apart as above."""
    data = _folders(documents)
    files = {kind: _files(documents, kind) for kind in LISTS}
    found = []
    for plan in documents:
        words = [
            f"{name} {files[kind][_identity(given)]}"
            for kind, name in LISTS.items()
            if (given := _given(plan, kind)) is not None
        ]
        title = str(plan.get("dataset_title") or plan.get("dataset") or "") + data.get(id(plan), "")
        found.append(f"{title} ({', '.join(words)})" if words else title)
    return found


def _with_titles(plans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    alike: dict[str, list[dict[str, Any]]] = {}
    for plan in plans:
        alike.setdefault(str(plan.get("title", "")), []).append(plan)
    for title, group in alike.items():
        if len(group) < 2:
            continue
        facets = [_facets(plan) for plan in group]
        differ = [place for place in range(len(facets[0])) if len({facet[place] for facet in facets}) > 1]
        words = [[facet[place] for place in differ] for facet in facets]
        count = Counter(map(tuple, words))
        for plan, said in zip(group, words, strict=True):
            if count[tuple(said)] > 1:
                said = [*said, str(plan.get("name", "")).rpartition("-")[2]]
            plan["title"] = f"{title} ({'; '.join(said)})"
    return plans


def _facets(plan: Raw) -> list[str]:
    """What plans of one table may differ in, in words."""
    categories, shots = (found if isinstance(found := plan.get(key), list) else [] for key in ("categories", "shots"))
    return [
        str(plan.get("dataset_title", "")),
        ", ".join(map(str, categories)) if len(categories) <= 3 else f"{len(categories)} categories",
        str(plan.get("weights_label", "")),
        str(plan.get("backbone", "")),
        str(plan.get("protocol", "")),
        f"shots {', '.join(map(str, shots))}",
    ]


def _given(plan: Raw, kind: str) -> Raw | None:
    """What a plan says of the folder or file that the user gave; None where it gave none, or an old plan is silent."""
    all_given = plan.get("given")
    given = all_given.get(kind) if isinstance(all_given, Mapping) else None
    return given if isinstance(given, Mapping) and isinstance(given.get("path"), str) else None


def _identity(given: Raw) -> tuple[str, str]:
    return str(given["path"]), str(given.get("digest", ""))


def _digests(given: Raw) -> Mapping[str, str]:
    digests = given.get("digests")
    return digests if isinstance(digests, Mapping) else {}


def _folders(plans: Sequence[Raw]) -> dict[int, str]:
    """What follows the title of each plan's own data, by the plan's ``id``: ": photos", ": line 2/photos"."""
    own = [(plan, given) for plan in plans if (given := _given(plan, "data")) is not None]
    tails = _tails({given["path"] for _, given in own})
    changed = _changed(given for _, given in own)
    found = {}
    for plan, given in own:
        version = f", content {_short(_digests(given))}" if given["path"] in changed else ""
        found[id(plan)] = f": {tails[given['path']]}{version}"
    return found


def _changed(own: Iterable[Raw]) -> set[str]:
    """Folders whose categories have different content in different plans."""
    seen: dict[tuple[str, str], str] = {}
    changed = set()
    for given in own:
        for category, digest in _digests(given).items():
            if seen.setdefault((given["path"], category), digest) != digest:
                changed.add(given["path"])
    return changed


def _short(digests: Mapping[str, str]) -> str:
    return hashlib.blake2b(repr(sorted(digests.items())).encode(), digest_size=3).hexdigest()


def _files(plans: Sequence[Raw], kind: str) -> dict[tuple[str, str], str]:
    """What to call each file of a kind, by path and digest."""
    given = {_identity(found) for plan in plans if (found := _given(plan, kind)) is not None}
    tails = _tails({path for path, _ in given})
    versions = Counter(path for path, _ in given)
    return {
        (path, digest): tails[path] + (f" {digest[:6]}" if versions[path] > 1 else "") for path, digest in sorted(given)
    }


def _tails(paths: set[str]) -> dict[str, str]:
    """The shortest end of each path that is no other's: names, with as many parents as are needed."""
    parts = {path: (PureWindowsPath(path) if "\\" in path else PurePosixPath(path)).parts for path in paths}
    found = {}
    for path, own in parts.items():
        length = 1
        others = [other for name, other in parts.items() if name != path]
        while length < len(own) and any(other[-length:] == own[-length:] for other in others):
            length += 1
        found[path] = "/".join(own[-length:]) or path
    return found
