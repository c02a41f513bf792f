"""What somebody adds from outside the package, at addresses that its tables can name."""

from promptad.datasets import Sample, Scan
from promptad.datasets.layouts.layout import folders_in, images_in
from reports.views.views import View


def counted_view(table, _loader):
    """A view that counts the arms."""
    return View(title="Arms, counted", caption=f"{len(table.plan.arms)} arms.", absent="Nothing to draw.")


class PairsLayout:
    """Normal images in ``ok/``, of which those of an even number are the support, and bad ones in ``nok/``."""

    form = "<category>/ok/*, <category>/nok/*"

    def category_names(self, root):
        return tuple(folder.name for folder in folders_in(root) if (folder / "ok").is_dir())

    def scan(self, root, category):
        def sample(path, anomalous):
            kind = "bad" if anomalous else "good"
            return Sample(name=f"{kind}/{path.name}", path=path, anomalous=anomalous, kind=kind)

        good = [sample(path, anomalous=False) for path in images_in(root / category / "ok")]
        bad = [sample(path, anomalous=True) for path in images_in(root / category / "nok")]
        return Scan(train=tuple(good[::2]), test=(*good[1::2], *bad))
