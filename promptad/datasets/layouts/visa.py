"""VisA (Zou et al., ECCV 2022) as published, without conversion to another layout."""

from pathlib import Path, PurePosixPath

from promptad.datasets.csv_rows import CSVError, csv_rows
from promptad.datasets.known_sets import known_set
from promptad.datasets.layouts.layout import Scan, is_there, unmatched_masks
from promptad.datasets.sample import DatasetError, Sample

COLUMNS = ("object", "split", "label", "image", "mask")
LABELS = {"normal": "good", "anomaly": "anomaly"}


class VisALayout:
    """The one-class split `split_csv/1cls.csv` decides which images are train and test; its paths start at the root.

    VisA has no defect folders, so `kind` is "anomaly" for every anomalous image. Its masks hold small integers, one per
    type of defect; all above zero are anomalous.
    """

    form = (
        "split_csv/1cls.csv with the columns object,split,label,image,mask; images <category>/Data/Images/*/*.JPG, "
        "masks <category>/Data/Masks/Anomaly/*.png"
    )

    def category_names(self, root: Path) -> tuple[str, ...]:
        """The objects that the split names, sorted; () without a split file."""
        return tuple(sorted({row["object"] for _, row in _split_rows(root)}))

    def scan(self, root: Path, category: str) -> Scan:
        """The samples of the split's rows about `category`."""
        train: list[Sample] = []
        test: list[Sample] = []
        missing: list[tuple[str, str]] = []
        problems: list[str] = []
        for line, row in _split_rows(root):
            if row["object"] != category:
                continue
            where = f"split_csv/1cls.csv line {line}"
            split, label = row["split"].lower(), row["label"].lower()
            if split not in ("train", "test") or label not in LABELS or (split, label) == ("train", "anomaly"):
                problems.append(
                    f"rows must be train,normal or test,normal or test,anomaly, but {where} is "
                    f"{row['split']},{row['label']}"
                )
                continue
            image = _inside(row["image"], category)
            if image is None or not is_there(root / image):
                problems.append(f"images must be files below {category}/, but {where} names {row['image']!r}")
                continue
            name = image.relative_to(category).as_posix()
            masks: tuple[Path, ...] = ()
            if label == "anomaly":
                mask = _inside(row["mask"], category)
                if mask is not None and is_there(root / mask):
                    masks = (root / mask,)
                else:
                    missing.append((name, f"{row['mask'] or 'a path in the mask column'} ({where})"))
            sample = Sample(name=name, path=root / image, anomalous=label == "anomaly", kind=LABELS[label], masks=masks)
            (train if split == "train" else test).append(sample)
        if not any(sample.masks for sample in test):
            problems.extend(unmatched_masks(root / category / "Data" / "Masks", tuple(missing)))
        return Scan(train=tuple(train), test=tuple(test), missing_masks=tuple(missing), problems=tuple(problems))


def _split_rows(root: Path) -> list[tuple[int, dict[str, str]]]:
    """(line number, row) of the split; empty without the file. Raises DatasetError if it cannot be read."""
    path = root / "split_csv" / "1cls.csv"
    try:
        rows = csv_rows(path.read_bytes(), str(path), COLUMNS)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except CSVError as error:
        raise DatasetError(str(error)) from error
    except OSError as error:
        raise DatasetError(
            f"{path} must be readable, but is not ({error.strerror}): allow this user to read it"
        ) from error
    if unnamed := [str(line) for line, row in rows if not row["object"]]:
        raise DatasetError(
            f"every row of {path} must name an object, but these lines do not: {', '.join(unnamed[:10])}"
        )
    return rows


def _inside(path: str, category: str) -> PurePosixPath | None:
    """`path` if it stays below the folder `category`, else None: a split file must not name other files."""
    pure = PurePosixPath(path)
    return pure if len(pure.parts) > 1 and pure.parts[0] == category and ".." not in pure.parts else None


VISA = known_set(
    name="visa",
    title="VisA",
    short="VisA",
    source=(
        "Zou, Jeong, Pemula, Zhang, Dabeer: SPot-the-difference self-supervised pre-training for anomaly "
        "detection and segmentation, ECCV 2022; one-class split of the authors (split_csv/1cls.csv)"
    ),
    images={
        "candle": (900, 100, 100),
        "capsules": (542, 60, 100),
        "cashew": (450, 50, 100),
        "chewinggum": (453, 50, 100),
        "fryum": (450, 50, 100),
        "macaroni1": (900, 100, 100),
        "macaroni2": (900, 100, 100),
        "pcb1": (904, 100, 100),
        "pcb2": (901, 100, 100),
        "pcb3": (905, 101, 100),
        "pcb4": (904, 101, 100),
        "pipe_fryum": (450, 50, 100),
    },
)
"""Counted in the split file of its authors, ``split_csv/1cls.csv`` of github.com/amazon-science/spot-diff. Its normal
images (train and test) and its anomalous ones are those of the table in that README, object by object.
"""
