"""Data sets of a few images, in the layouts of the published ones."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from promptad.datasets import Sample


def write(path: Path, size: tuple[int, int] = (8, 6), value: int = 100, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode != "RGB" else (value, value, value)).save(path)
    return path


def mvtec(root: Path, category: str = "gear") -> Path:
    folder = root / category
    for index in (2, 0, 1):
        write(folder / f"train/good/{index:03d}.png", value=index)
    write(folder / "test/good/000.png", value=50)
    for index in (1, 0):
        write(folder / f"test/crack/{index:03d}.png", value=60 + index)
        write(folder / f"ground_truth/crack/{index:03d}_mask.png", value=255, mode="L")
    return folder


def visa(root: Path, rows: Sequence[str] | None = None, category: str = "candle") -> Path:
    folder = root / category / "Data"
    for index in range(3):
        write(folder / f"Images/Normal/{index:04d}.JPG")
    write(folder / "Images/Anomaly/000.JPG")
    write(folder / "Masks/Anomaly/000.png", value=3, mode="L")
    rows = rows or [
        "candle,train,normal,candle/Data/Images/Normal/0002.JPG,",
        "candle,train,normal,candle/Data/Images/Normal/0000.JPG,",
        "candle,test,normal,candle/Data/Images/Normal/0001.JPG,",
        "candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png",
        "pcb1,train,normal,pcb1/Data/Images/Normal/0000.JPG,",
    ]
    (root / "split_csv").mkdir(exist_ok=True)
    (root / "split_csv/1cls.csv").write_text("\n".join(["object,split,label,image,mask", *rows]) + "\n")
    return root / category


def names(samples: Iterable[Sample]) -> list[str]:
    return [sample.name for sample in samples]
