from pathlib import Path

from study.planning.data_source import DataSource


def test_a_cache_that_may_not_be_read_is_no_obstacle(inspection_root, monkeypatch):
    read = Path.read_text

    def denied(self, **options):
        if "checked" in self.parts:
            raise PermissionError(13, "Permission denied", str(self))
        return read(self, **options)

    source = DataSource(name="mvtec", layout="mvtec", root=str(inspection_root))
    known = source.checked("disc", skip_bad=False)
    monkeypatch.setattr(Path, "read_text", denied)
    assert source.checked("disc", skip_bad=False) == known
