from pathlib import Path

from study.sources import DataSource


def test_a_cache_that_may_not_be_read_is_no_obstacle(inspection_root, monkeypatch):
    exists = Path.exists

    def denied(self, **options):
        if "decoded" in self.parts:
            raise PermissionError(13, "Permission denied", str(self))
        return exists(self, **options)

    source = DataSource(name="mvtec", layout="mvtec", root=str(inspection_root))
    known = source.checked("disc", skip_bad=False)
    monkeypatch.setattr(Path, "exists", denied)
    assert source.checked("disc", skip_bad=False) == known
