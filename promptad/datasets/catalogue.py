"""The layouts by name, and the opening of a category."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from promptad.datasets.access import REMEDY, listed, unreadable_folders
from promptad.datasets.diagnosis import DEPTH, contents, other_layout, without_categories
from promptad.datasets.findings import Findings
from promptad.datasets.known_sets import KnownSet
from promptad.datasets.layouts.folder import FolderLayout
from promptad.datasets.layouts.layout import IMAGE_SUFFIXES, Layout, Scan, folders_in, printable
from promptad.datasets.layouts.loco import LOCO, LOCOLayout
from promptad.datasets.layouts.mpdd import MPDD, MPDDLayout
from promptad.datasets.layouts.mvtec import MVTEC_AD, MVTecLayout
from promptad.datasets.layouts.visa import VISA, VisALayout
from promptad.datasets.layouts.visa_pytorch import RepackedVisALayout
from promptad.datasets.sample import Category, DatasetError, Origin, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutEntry:
    """A layout, and the name of its data in reports.

    ``published`` is the data set with this layout: its title, and its counts of images, which distinguish it from other
    data in the same folders. A layout that belongs to none has a ``title`` of its own: "image folder".

    Raises:
        DatasetError: neither or both are given, or the reader lacks a part of ``Layout``.
    """

    reader: Layout
    published: KnownSet | None = None
    title: str = ""

    def __post_init__(self) -> None:
        """Check a new entry."""
        kind = type(self.reader).__name__
        if missing := [part for part in ("form", "category_names", "scan") if not hasattr(self.reader, part)]:
            raise DatasetError(f"a layout must have form, category_names and scan, but {kind} has no {listed(missing)}")
        if (self.published is None) == (not self.title):
            raise DatasetError(
                f"the entry of {kind} must have either the published set that it reads, or a title for what it reads, "
                f"but has {'neither' if self.published is None else 'both'}"
            )

    @property
    def called(self) -> str:
        """The data's name in reports: a published set's title."""
        return self.title if self.published is None else self.published.title


LAYOUTS: dict[str, LayoutEntry] = {
    "mvtec": LayoutEntry(reader=MVTecLayout(), published=MVTEC_AD),
    "visa": LayoutEntry(reader=VisALayout(), published=VISA),
    "visa_pytorch": LayoutEntry(reader=RepackedVisALayout(), published=VISA),
    "mpdd": LayoutEntry(reader=MPDDLayout(), published=MPDD),
    "loco": LayoutEntry(reader=LOCOLayout(), published=LOCO),
    "folder": LayoutEntry(reader=FolderLayout(), title="image folder"),
}
"""Every layout by the name that ``--data`` takes. A new one is a class that fits ``Layout`` in a file, and an entry."""

MOST_PROBLEMS_LISTED = 20


def known_sets() -> dict[str, KnownSet]:
    """The published data sets by their names in printed numbers."""
    return {entry.published.name: entry.published for entry in LAYOUTS.values() if entry.published is not None}


def full_set_of(layout: str) -> KnownSet | None:
    """The published data set that a layout reads; None for one that belongs to none ("folder"), and for no layout."""
    return LAYOUTS[layout].published if layout in LAYOUTS else None


def layout_named(name: str) -> Layout:
    """The layout of a name.

    Raises DatasetError, which lists them, if there is none.
    """
    if name not in LAYOUTS:
        raise DatasetError(f"layout must be one of {', '.join(LAYOUTS)}, but got {name!r}")
    return LAYOUTS[name].reader


def _readers() -> dict[str, Layout]:
    return {name: entry.reader for name, entry in LAYOUTS.items()}


def category_names(layout_name: str, root: Path | str) -> tuple[str, ...]:
    """The categories below `root`, sorted.

    Raises DatasetError if the layout is unknown, the root is none or holds none, or one of its folders cannot be read.
    """
    layout, root = layout_named(layout_name), _existing(root)
    names = layout.category_names(root)
    if closed := [found for folder in folders_in(root) for found in unreadable_folders(folder, 0)]:
        raise DatasetError(
            f"folders of {root} must be readable, to tell which are categories, but these are not: {listed(closed)}: "
            f"{REMEDY}; or name the categories to use (--categories A,B)"
        )
    if not names:
        why = without_categories(_readers(), layout_name, root)
        raise DatasetError(printable(f"{root} must hold categories laid out as {layout.form}, but {why}"))
    return names


def open_category(
    layout_name: str,
    root: Path | str,
    category: str,
    *,
    skip_bad: bool = False,
    check_images: bool = True,
    normal_only: bool = False,
) -> Category:
    """The category's samples, checked: labels, masks, and that every image and mask decodes.

    `skip_bad` drops images that do not decode (or whose mask does not) and lists them in `left_out`; nothing else is
    forgiven. `check_images=False` opens no file, for data whose `data_digest` is known to be good. `normal_only`: the
    category has no test images, whatever lies there; none is opened. A category folder may be a symbolic link to
    anywhere. Raises one DatasetError that lists all problems.
    """
    layout, root = layout_named(layout_name), _existing(root)
    if skip_bad and not check_images:
        raise DatasetError("check_images must be True with skip_bad=True: bad images are found by decoding them")
    if category in ("", ".", "..") or "/" in category or "\\" in category or Path(category).is_absolute():
        raise DatasetError(f"a category must be the name of a folder of {root}, but got {category!r}")
    names = layout.category_names(root) or category_names(layout_name, root)
    if closed := unreadable_folders(root / category, DEPTH):
        raise DatasetError(f"folders of data must be readable, but these are not: {listed(closed)}: {REMEDY}")
    if category not in names:
        raise DatasetError(
            f"category must be one of those in {root}, but got {category!r}: it has {printable(', '.join(names))}"
        )
    try:
        scan = layout.scan(root, category)
    except OSError as error:
        raise DatasetError(f"category {category} of {root} must be readable, but is not: {error}") from error
    if normal_only:
        scan = replace(scan, test=(), missing_masks=())
    findings = Findings(unreadable=(), problems=(), samples=(*scan.train, *scan.test))
    if check_images:
        # Decoding loads NumPy and Pillow, which a command that looks at no image need not wait for.
        from promptad.datasets.verification import verify_images

        findings = verify_images(findings.samples)
    scan = replace(scan, train=findings.samples[: len(scan.train)], test=findings.samples[len(scan.train) :])
    left_out = dict(findings.unreadable) if skip_bad else {}
    train = _sorted(sample for sample in scan.train if sample.name not in left_out)
    test = _sorted(sample for sample in scan.test if sample.name not in left_out)
    has_masks = any(sample.masks for sample in scan.test)
    problems = [*scan.problems, *_duplicates(scan), *_shared_masks(test), *_unprintable(category, scan)]
    if has_masks:
        problems += [
            f"mask missing for {category}/{name}: expected {expected}" for name, expected in scan.missing_masks
        ]
    if not skip_bad:
        problems += [
            f"{category}/{name} cannot be decoded ({reason}): replace it, or leave such images out "
            "with skip_bad (--skip-bad)"
            for name, reason in findings.unreadable
        ]
    absences = _absences(layout, category, train, test, len(left_out))
    problems += [*findings.problems, *(absences[:1] if normal_only and not train else () if normal_only else absences)]
    if problems:
        hints = [f"{category} has {contents(root / category)}"] if absences and not normal_only else []
        if scan.problems or absences or (has_masks and scan.missing_masks):
            hints += filter(None, [other_layout(_readers(), layout_name, root, category)])
        raise DatasetError(_listed(f"{layout_name} category {category} in {root}", problems, hints))
    return Category(
        name=category,
        train=train,
        test=test,
        has_masks=has_masks,
        left_out=tuple(sorted(left_out.items())),
        origin=Origin(layout=layout_name, root=root, normal_only=normal_only),
        cautions=findings.cautions,
    )


def _existing(root: Path | str) -> Path:
    root = Path(root).expanduser()
    if closed := unreadable_folders(root.absolute(), 0):
        raise DatasetError(f"the data set's root must be readable, but it is not: {listed(closed)}: {REMEDY}")
    if not root.is_dir():
        raise DatasetError(f"the data set's root must be a folder, but there is none at {root.absolute()}")
    return root


def _sorted(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda sample: sample.name))


def _duplicates(scan: Scan) -> list[str]:
    counts = Counter(sample.name for sample in (*scan.train, *scan.test))
    return [
        f"every image must be listed once, but {name} is {count} times" for name, count in counts.items() if count > 1
    ]


def _shared_masks(test: tuple[Sample, ...]) -> list[str]:
    """A problem for every mask that two images claim, as two with one stem do: it can belong to only one of them."""
    owners: dict[Path, list[str]] = defaultdict(list)
    for sample in test:
        for mask in sample.masks:
            owners[mask].append(sample.name)
    return [
        f"every mask must belong to one image, but {mask} belongs to {', '.join(names)}: rename images and masks"
        for mask, names in owners.items()
        if len(names) > 1
    ]


def _unprintable(category: str, scan: Scan) -> list[str]:
    """A problem for every name that is not UTF-8: rows, reports and JSON could not hold it."""
    names = [category, *(sample.name for sample in (*scan.train, *scan.test))]
    return [
        f"names of files and folders must be UTF-8, but {printable(name)} is not: rename it"
        for name in names
        if printable(name) != name
    ]


def _absences(
    layout: Layout, category: str, train: tuple[Sample, ...], test: tuple[Sample, ...], left_out: int
) -> list[str]:
    kinds = {
        "normal support image": bool(train),
        "normal test image": any(not sample.anomalous for sample in test),
        "anomalous test image": any(sample.anomalous for sample in test),
    }
    after = f" after {left_out} left out as unreadable" if left_out else ""
    suffixes = " ".join(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES)
    return [
        f"{category} must have at least one {kind}, but has none{after}: expected {layout.form} ({suffixes})"
        for kind, present in kinds.items()
        if not present
    ]


def _listed(subject: str, problems: list[str], hints: list[str]) -> str:
    lines = [f"- {problem}" for problem in problems[:MOST_PROBLEMS_LISTED]]
    if len(problems) > MOST_PROBLEMS_LISTED:
        lines.append(f"- and {len(problems) - MOST_PROBLEMS_LISTED} more")
    text = "\n".join([f"{subject} cannot be used, {len(problems)} problem{'s' * (len(problems) > 1)}:", *lines, *hints])
    return printable(text)
