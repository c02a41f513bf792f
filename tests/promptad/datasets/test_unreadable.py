"""Files and folders that this user may not read: one error that names all of them, or a category that is left alone.

Permissions are taken away below pathlib, so that the superuser tests it too; and really, where that says anything.
"""

import os
from pathlib import Path

import pytest
from helpers.inspection_set import write_inspection_set

from promptad.datasets import DatasetError, category_names, open_category
from promptad.datasets.access import unreadable_folders
from promptad.features.cache import CacheError, FeatureCache
from promptad.features.cache_folder import why_not_writable
from study.planning.data_source import DataSource

superuser = pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")


@pytest.fixture
def root(tmp_path):
    return write_inspection_set(tmp_path / "data")


@pytest.fixture
def forbid(monkeypatch):
    """Makes paths unreadable: listing, entering and opening them and what lies below raises PermissionError."""
    forbidden = []

    def guarded(real):
        def call(path, *rest, **options):
            text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
            for each in forbidden:
                # The name itself can be looked at, as on a real disk.
                below = text.startswith(f"{each}{os.sep}")
                if below or (text == str(each) and real is not stat):
                    raise PermissionError(13, "Permission denied", text)
            return real(path, *rest, **options)

        return call

    stat = os.stat
    for name in ("scandir", "listdir", "stat"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name)))
    monkeypatch.setattr("io.open", guarded(open))
    return forbidden.append


def test_a_neighbour_that_may_not_be_read_is_an_error_with_a_remedy_unless_categories_are_named(root, forbid):
    (root / "private").mkdir()
    (root / "secret").mkdir()
    forbid(root / "private")
    forbid(root / "secret")
    with pytest.raises(DatasetError) as caught:
        category_names("mvtec", root)
    for text in ("private (Permission denied)", "secret (Permission denied)", "chmod -R u+rX", "--categories A,B"):
        assert text in str(caught.value)
    assert open_category("mvtec", root, "plate").test


def test_lost_and_found_is_no_neighbour(root, forbid):
    (root / "lost+found").mkdir()
    forbid(root / "lost+found")
    assert category_names("mvtec", root) == ("disc", "plate")


def test_the_root_may_not_be_read(root, forbid):
    forbid(root)
    for ask in (lambda: category_names("folder", root), lambda: open_category("mvtec", root, "plate")):
        with pytest.raises(DatasetError, match=r"root must be readable, but it is not: .*Permission denied.*chmod"):
            ask()


@pytest.mark.parametrize("layout", ["mvtec", "visa_pytorch", "loco", "folder"])
def test_all_folders_of_a_category_that_may_not_be_read_are_named_at_once(root, forbid, layout):
    forbid(root / "plate/test/spot")
    forbid(root / "plate/ground_truth/spot")
    with pytest.raises(DatasetError, match=r"ground_truth/spot \(Perm.*test/spot \(Perm.*: allow this user to"):
        open_category(layout, root, "plate")
    forbid(root / "plate")
    with pytest.raises(DatasetError, match=r"these are not: \S+/plate \(Permission denied\)"):
        open_category(layout, root, "plate")


def test_files_that_may_not_be_read_are_all_named_or_left_out(root, forbid):
    forbid(root / "plate/test/good/000.png")
    forbid(root / "plate/ground_truth/spot/001_mask.png")
    source = DataSource(name="mvtec", layout="mvtec", root=str(root))
    with pytest.raises(DatasetError) as caught:
        source.checked("plate", skip_bad=False)
    allow = "Permission denied: allow this user to read it (chmod u+r)"
    assert f"test/good/000.png cannot be decoded ({allow})" in str(caught.value)
    assert f"test/spot/001.png cannot be decoded (mask 001_mask.png: {allow})" in str(caught.value)
    category = source.checked("plate", skip_bad=True).data
    assert [name for name, _ in category.left_out] == ["test/good/000.png", "test/spot/001.png"]


def test_a_split_that_may_not_be_read(tmp_path, forbid):
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv/1cls.csv").write_text("")
    forbid(tmp_path / "split_csv/1cls.csv")
    with pytest.raises(DatasetError, match=r"1cls\.csv must be readable, but is not \(Permission denied\)"):
        category_names("visa", tmp_path)


@superuser
def test_real_permissions(root):
    (root / "plate/test/spot").chmod(0)
    (root / "disc").chmod(0)
    try:
        with pytest.raises(DatasetError, match="disc"):
            category_names("mvtec", root)
        with pytest.raises(DatasetError, match="test/spot"):
            open_category("mvtec", root, "plate")
    finally:
        (root / "plate/test/spot").chmod(0o700)
        (root / "disc").chmod(0o700)


def test_a_cache_that_cannot_be_written_says_why(tmp_path, monkeypatch):
    assert why_not_writable(tmp_path / "new") is None
    (tmp_path / "file").write_text("")
    assert "file" in why_not_writable(tmp_path / "file" / "cache")

    def denied(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", denied)
    assert "Permission denied" in why_not_writable(tmp_path / "other")


def test_clearing_a_cache_that_may_not_be_changed_is_an_error_in_words(tmp_path, monkeypatch):
    cache = FeatureCache(tmp_path)
    (tmp_path / "features/ab").mkdir(parents=True)
    (tmp_path / "features/ab/x.safetensors").write_bytes(b"x")

    def denied(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "unlink", denied)
    with pytest.raises(CacheError, match=r"1 of 1 files .* cannot be removed \(Permission denied\).*PROMPTAD_CACHE"):
        cache.clear()
    assert cache.evict() == 0


def test_a_name_with_a_null_byte_is_that_of_no_folder(tmp_path):
    assert unreadable_folders(tmp_path / "a\0b", 1) == []
