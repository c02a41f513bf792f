"""What headings say of plans that would look alike: whose data, suffixes and support images, which weights."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath

from reports.reading.given import DataName, OwnFile, OwnFolder
from reports.reading.plan_document import Plan


def told_apart(plans: Sequence[Plan]) -> list[Plan]:
    """The same plans with titles that differ, and data titles that name the user's own folders and files.

    A folder is called by its name, or by as many of its parents as tell it from the other folders of these plans; so
    are files. Where one path held different content at different times, a digest of the content is added. Titles that
    are equal get what their plans differ in, at last the digest in the plan's name.
    """
    titles = data_titles([plan.data_name for plan in plans])
    return _with_titles([replace(plan, dataset_title=title) for plan, title in zip(plans, titles, strict=True)])


def data_titles(names: Sequence[DataName]) -> list[str]:
    """The data's title of each plan or search, with the user's own folders and files, told apart as above."""
    folders = iter(_folder_texts([data for name in names if (data := name.given.data) is not None]))
    suffixes = _file_texts([file for name in names if (file := name.given.suffixes) is not None])
    support = _file_texts([file for name in names if (file := name.given.support) is not None])
    found = []
    for name in names:
        given = name.given
        title = name.title if given.data is None else f"{name.title}: {next(folders)}"
        words = [] if given.suffixes is None else [f"suffixes {suffixes[given.suffixes]}"]
        words += [] if given.support is None else [f"support {support[given.support]}"]
        found.append(f"{title} ({', '.join(words)})" if words else title)
    return found


def _with_titles(plans: Sequence[Plan]) -> list[Plan]:
    alike: dict[str, list[int]] = {}
    for place, plan in enumerate(plans):
        alike.setdefault(plan.title, []).append(place)
    titled = list(plans)
    for title, group in alike.items():
        if len(group) < 2:
            continue
        facets = [_facets(plans[place]) for place in group]
        differ = [number for number in range(len(facets[0])) if len({facet[number] for facet in facets}) > 1]
        words = [[facet[number] for number in differ] for facet in facets]
        count = Counter(map(tuple, words))
        for place, said in zip(group, words, strict=True):
            plan = plans[place]
            if count[tuple(said)] > 1:
                said = [*said, plan.digest or plan.name]
            titled[place] = replace(plan, title=f"{title} ({'; '.join(said)})")
    return titled


def _facets(plan: Plan) -> list[str]:
    """What plans of one table may differ in, in words."""
    categories = plan.categories
    return [
        plan.dataset_title,
        ", ".join(categories) if len(categories) <= 3 else f"{len(categories)} categories",
        plan.weights_label,
        plan.backbone,
        plan.protocol,
        f"shots {', '.join(map(str, plan.shots))}",
    ]


def _folder_texts(own: Sequence[OwnFolder]) -> list[str]:
    """What to call each folder: "photos", "line 2/photos"; with a digest of its content where that changed."""
    tails, changed = _tails({folder.path for folder in own}), _changed(own)
    return [
        tails[folder.path] + (f", content {_short(folder.digests)}" if folder.path in changed else "") for folder in own
    ]


def _changed(own: Iterable[OwnFolder]) -> set[str]:
    """Folders whose categories have different content in different plans."""
    seen: dict[tuple[str, str], str] = {}
    changed = set()
    for folder in own:
        for category, digest in folder.digests.items():
            if seen.setdefault((folder.path, category), digest) != digest:
                changed.add(folder.path)
    return changed


def _short(digests: Mapping[str, str]) -> str:
    return hashlib.blake2b(repr(sorted(digests.items())).encode(), digest_size=3).hexdigest()


def _file_texts(own: Sequence[OwnFile]) -> dict[OwnFile, str]:
    """What to call each file of a kind; with its digest where one path held different content."""
    given = set(own)
    tails = _tails({file.path for file in given})
    versions = Counter(file.path for file in given)
    return {file: tails[file.path] + (f" {file.digest[:6]}" if versions[file.path] > 1 else "") for file in given}


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
