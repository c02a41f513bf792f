"""VisA as its authors' ``prepare_data.py`` repacks it (``VisA_pytorch/1cls``), the form that most code reads."""

from pathlib import Path

from promptad.datasets.layouts.layout import is_there
from promptad.datasets.layouts.mvtec import MVTecLayout


class RepackedVisALayout(MVTecLayout):
    """MVTec AD's folders, but masks have their image's stem: ``ground_truth/bad/000.png`` of ``test/bad/000.JPG``.

    The root is the folder of the one-class split, ``VisA_pytorch/1cls``. The images are those of `visa`; a kind is
    called by its folder, which is "bad" for every anomalous image.
    """

    form = (
        "<category>/train/good/*, <category>/test/good/*, <category>/test/bad/*, <category>/ground_truth/bad/<stem>.png"
    )

    def masks_of(self, category: Path, kind: str, stem: str) -> tuple[tuple[Path, ...], Path]:
        """The mask of the test image `test/<kind>/<stem>.*`, and the path where it belongs."""
        expected = category / "ground_truth" / kind / f"{stem}.png"
        return ((expected,) if is_there(expected) else ()), expected
