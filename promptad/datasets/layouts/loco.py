"""MVTec LOCO AD (Bergmann et al., IJCV 2022): structural and logical anomalies."""

from pathlib import Path

from promptad.datasets.known_sets import known_set
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


LOCO = known_set(
    name="loco",
    title="MVTec LOCO AD",
    short="MVTec LOCO",
    source=(
        "Bergmann, Batzner, Fauser, Sattlegger, Steger: Beyond dents and scratches: logical constraints in "
        "unsupervised anomaly detection and localization, IJCV 2022"
    ),
    images={
        "breakfast_box": (351, 102, 173),
        "juice_bottle": (335, 94, 236),
        "pushpins": (372, 138, 172),
        "screw_bag": (360, 122, 219),
        "splicing_connectors": (360, 119, 193),
    },
)
"""The numbers by category are those of two public inventories of the archive, which agree, and add up to the 1568 test
images that are quoted from the paper. Of train and validation images the paper is quoted with 1772 and 304, while the
archive has 1778 and 305; ``train`` is the archive's. Validation images are not counted: nothing here reads them.
"""
