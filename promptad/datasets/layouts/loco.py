"""MVTec LOCO AD (Bergmann et al., IJCV 2022): structural and logical anomalies."""

from pathlib import Path

from promptad.datasets.layouts.layout import images_in
from promptad.datasets.layouts.mvtec import MVTecLayout


class LOCOLayout(MVTecLayout):
    """MVTec AD's folders, but every anomalous image has a folder of masks, `ground_truth/<kind>/<stem>/*.png`.

    The masks are united. The saturation thresholds that LOCO's own sPRO metric gives each of them are not read, and
    `validation/good` is left unused: supports come from `train/good` as in the other data sets. Most images are far
    from square, so a preprocessing that crops can lose an anomaly.
    """

    form = (
        "<category>/train/good/*, <category>/test/{good,logical_anomalies,structural_anomalies}/*, "
        "<category>/ground_truth/<kind>/<stem>/*.png"
    )

    def masks_of(self, category: Path, kind: str, stem: str) -> tuple[tuple[Path, ...], Path]:
        """The masks of the test image `test/<kind>/<stem>.*`, and the folder where they belong."""
        folder = category / "ground_truth" / kind / stem
        return tuple(path for path in images_in(folder) if path.suffix.lower() == ".png"), folder / "*.png"
