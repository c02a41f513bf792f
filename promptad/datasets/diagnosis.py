"""Describes a folder that a layout cannot read, and what to write instead: hints for messages, never decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from promptad.datasets.layouts.layout import Layout, folders_in, images_in
from promptad.datasets.sample import DatasetError

Layouts = Mapping[str, Layout]

MOST_FOLDERS = 6
MOST_CHILDREN = 100
"""Upper bound on the folders of a root that are searched for a data set one level deeper."""
DEPTH = 3
"""Levels below a category that hold images in any layout, and levels above a root that may be the right one."""
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".xz", ".7z", ".rar")


def without_categories(layouts: Layouts, name: str, root: Path) -> str:
    """What a root without categories holds, and the data set that was probably meant: clauses after "but"."""
    advice = next(_advice(layouts, name, root), None)
    return _inside(root) + ("" if advice is None else f": {advice}")


def other_layout(layouts: Layouts, name: str, root: Path, category: str) -> str | None:
    """A sentence that names a layout which reads a category that ``name`` cannot; None if there is none."""
    for other, layout in layouts.items():
        if other != name and _fits(layout, root, category):
            return f"{category} is laid out as {other} ({layout.form}): use --data {other}:{root.absolute()}"
    return None


def contents(folder: Path) -> str:
    """Which folders of a category hold how many images, in words."""
    counted = [
        f"{len(images)} in {place.relative_to(folder).as_posix()}" if place != folder else f"{len(images)} directly"
        for place in _below(folder, DEPTH)
        if (images := images_in(place))
    ]
    if not counted:
        return "no images"
    more = f" and in {len(counted) - MOST_FOLDERS} more folders" if len(counted) > MOST_FOLDERS else ""
    return f"images: {', '.join(counted[:MOST_FOLDERS])}{more}"


def _advice(layouts: Layouts, name: str, root: Path) -> Iterator[str]:
    """What to write instead, the most likely first."""
    own, root = layouts[name], root.absolute()
    above = _category_above(own, root)
    itself = f"{above[1]} is a category itself: use --data {name}:{above[0]} --categories {above[1]}" if above else ""
    if above and _fits(own, *above):
        yield itself
    children = folders_in(root)[:MOST_CHILDREN]
    for child in children:
        if _names(own, child):
            yield f"{child.name} in it holds categories: use --data {name}:{child}"
    for other, layout in layouts.items():
        if other == name:
            continue
        for place in (root, *children):
            if any(_fits(layout, place, category) for category in _names(layout, place)[:1]):
                yield f"its images are laid out as {other}: use --data {other}:{place}"
        if (found := _category_above(layout, root)) and _fits(layout, *found):
            place, category = found
            yield f"{category} is a category laid out as {other}: use --data {other}:{place} --categories {category}"
    if itself:
        yield itself
    if images_in(root) or any(images_in(child) for child in children):
        yield (
            "give each kind of object a folder with normal/, test/good/ and test/DEFECT/ in it, such as "
            f"{root / 'OBJECT' / 'normal'}, and use --data folder:{root}"
        )
    if _archives(root):
        yield "unpack it, and name the folder with the categories"


def _category_above(layout: Layout, root: Path) -> tuple[Path, str] | None:
    """The data set's root and the category that ``root`` lies in, or is."""
    place = root
    for above in list(root.parents)[:DEPTH]:
        if place.name in _names(layout, above) and (place == root or root.relative_to(place).parts[0] in _PARTS):
            return above, place.name
        place = above
    return None


_PARTS = frozenset({"train", "test", "normal", "ground_truth", "masks", "Data"})
"""Folders of a category, in one layout or another."""


def _names(layout: Layout, root: Path) -> tuple[str, ...]:
    try:
        return layout.category_names(root)
    except (DatasetError, OSError):
        return ()


def _fits(layout: Layout, root: Path, category: str) -> bool:
    """Whether a layout reads a category without any problem, masks included."""
    try:
        scan = layout.scan(root, category)
    except (DatasetError, OSError):
        return False
    labels = {sample.anomalous for sample in scan.test}
    masked = not scan.missing_masks or not any(sample.masks for sample in scan.test)
    return bool(scan.train) and labels == {True, False} and masked and not scan.problems


def _below(folder: Path, depth: int) -> Iterator[Path]:
    yield folder
    if depth:
        for inner in folders_in(folder):
            yield from _below(inner, depth - 1)


def _inside(root: Path) -> str:
    """The content of a folder, in words."""
    images, folders, archives = images_in(root), [folder.name for folder in folders_in(root)], _archives(root)
    parts = []
    if images:
        parts.append(f"{len(images)} images directly ({images[0].name} ...)")
    if folders:
        more = " ..." if len(folders) > MOST_FOLDERS else ""
        parts.append(f"the folders {', '.join(folders[:MOST_FOLDERS])}{more}")
    if archives:
        parts.append(f"the archive {archives[0]}")
    return f"it holds {' and '.join(parts) or 'neither folders nor images'}"


def _archives(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.suffix.lower() in ARCHIVES)
