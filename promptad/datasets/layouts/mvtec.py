"""MVTec AD (Bergmann et al., CVPR 2019), and every data set that copies its folders."""

from pathlib import Path

from promptad.datasets.known_sets import known_set
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


class MVTecLayout:
    """`train/good`, `test/good`, `test/<defect>`, and `ground_truth/<defect>/<stem>_mask.png` for every defect image.

    Images may have any known suffix; masks are PNG files.
    """

    form = (
        "<category>/train/good/*, <category>/test/good/*, <category>/test/<defect>/*, "
        "<category>/ground_truth/<defect>/<stem>_mask.png"
    )

    def category_names(self, root: Path) -> tuple[str, ...]:
        """The folders of `root` with a `train` or a `test` folder."""
        return tuple(f.name for f in folders_in(root) if has_folder(f, "train") or has_folder(f, "test"))

    def masks_of(self, category: Path, kind: str, stem: str) -> tuple[tuple[Path, ...], Path]:
        """The masks of the test image `test/<kind>/<stem>.*`, and the path where they belong."""
        expected = category / "ground_truth" / kind / f"{stem}_mask.png"
        return ((expected,) if is_there(expected) else ()), expected

    def scan(self, root: Path, category: str) -> Scan:
        """The samples below `root/category`; folders of `test` other than `good` are defects."""
        folder = root / category
        train_folder, test_folders = folder / "train" / "good", folders_in(folder / "test")
        train = tuple(
            Sample(name=path.relative_to(folder).as_posix(), path=path, anomalous=False, kind="good")
            for path in images_in(train_folder)
        )
        test, missing = [], []
        for path in (path for test_folder in test_folders for path in images_in(test_folder)):
            name, kind = path.relative_to(folder).as_posix(), path.parent.name
            masks: tuple[Path, ...] = ()
            if kind != "good":
                masks, expected = self.masks_of(folder, kind, path.stem)
                if not masks:
                    missing.append((name, str(expected)))
            test.append(Sample(name=name, path=path, anomalous=kind != "good", kind=kind, masks=masks))
        problems = nested_images((train_folder, *test_folders)) + unread_images((train_folder, *test_folders))
        problems += stray_images(folder / "train") + stray_images(folder / "test")
        if not any(sample.masks for sample in test):
            problems += unmatched_masks(folder / "ground_truth", tuple(missing))
        return Scan(train=train, test=tuple(test), missing_masks=tuple(missing), problems=problems)


MVTEC_AD = known_set(
    name="mvtec",
    title="MVTec AD",
    short="MVTec",
    source=(
        "Bergmann, Fauser, Sattlegger, Steger: MVTec AD, a comprehensive real-world dataset for unsupervised "
        "anomaly detection, CVPR 2019"
    ),
    images={
        "bottle": (209, 20, 63),
        "cable": (224, 58, 92),
        "capsule": (219, 23, 109),
        "carpet": (280, 28, 89),
        "grid": (264, 21, 57),
        "hazelnut": (391, 40, 70),
        "leather": (245, 32, 92),
        "metal_nut": (220, 22, 93),
        "pill": (267, 26, 141),
        "screw": (320, 41, 119),
        "tile": (230, 33, 84),
        "toothbrush": (60, 12, 30),
        "transistor": (213, 60, 40),
        "wood": (247, 19, 60),
        "zipper": (240, 32, 119),
    },
)
"""Table 1 of its paper. The numbers by category are those of two public inventories of the downloaded archive, which
agree, and add up to the totals that are quoted from the paper (3629 train, 467 normal and 1258 anomalous test images).
"""
