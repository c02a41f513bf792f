"""A plain layout for one's own images."""

from pathlib import Path

from promptad.datasets.layouts.layout import (
    Scan,
    folders_in,
    has_folder,
    images_in,
    is_there,
    nested_images,
    stray_images,
    unmatched_masks,
    unread_images,
)
from promptad.datasets.sample import Sample

NORMAL_FOLDERS = ("good", "normal")


class FolderLayout:
    """Support images in `normal/` (or `train/`, not both), test images in `test/<kind>/`, masks if there are any.

    `test/good/` and `test/normal/` are normal, every other folder of `test` is a kind of defect. Masks are optional,
    but then either all or none of the anomalous images have theirs: `masks/<kind>/<stem>.png`, of the image's size,
    anomalous where above zero. Images lie directly in these folders.
    """

    form = (
        "<category>/normal/* (or <category>/train/*), <category>/test/good/* (or normal), <category>/test/<defect>/*, "
        "optional <category>/masks/<defect>/<stem>.png"
    )

    def category_names(self, root: Path) -> tuple[str, ...]:
        """The folders of `root` with a `normal`, `train` or `test` folder."""
        return tuple(
            f.name for f in folders_in(root) if any(has_folder(f, part) for part in ("normal", "train", "test"))
        )

    def scan(self, root: Path, category: str) -> Scan:
        """The samples below `root/category`."""
        folder = root / category
        support_folders = [folder / part for part in ("normal", "train") if (folder / part).is_dir()]
        test_folders = folders_in(folder / "test")
        problems = list(nested_images((*support_folders, *test_folders)))
        problems += [*unread_images((*support_folders, *test_folders)), *stray_images(folder / "test")]
        if len(support_folders) > 1:
            problems.append(f"support images must be in normal/ or in train/, but {folder} has both: keep one")
        train = tuple(
            Sample(name=path.relative_to(folder).as_posix(), path=path, anomalous=False, kind="good")
            for support_folder in support_folders
            for path in images_in(support_folder)
        )
        test, missing = [], []
        for path in (path for test_folder in test_folders for path in images_in(test_folder)):
            name = path.relative_to(folder).as_posix()
            anomalous = path.parent.name not in NORMAL_FOLDERS
            masks: tuple[Path, ...] = ()
            if anomalous:
                mask = folder / "masks" / path.parent.name / f"{path.stem}.png"
                if is_there(mask):
                    masks = (mask,)
                else:
                    missing.append((name, str(mask)))
            kind = path.parent.name if anomalous else "good"
            test.append(Sample(name=name, path=path, anomalous=anomalous, kind=kind, masks=masks))
        if not any(sample.masks for sample in test):
            problems.extend(unmatched_masks(folder / "masks", tuple(missing)))
        return Scan(train=train, test=tuple(test), missing_masks=tuple(missing), problems=tuple(problems))
