"""Every file that a layout lists is used or named: links, pointers, stems, system files, formats, names."""

import os
import sys

import pytest
from helpers.data_sets import mvtec, names, visa, write

from promptad.datasets import DatasetError, category_names, open_category
from study.planning.data_source import DataSource

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"
ANNEX = "/annex/objects/SHA256E-s1--0.png\n"


@pytest.mark.parametrize("place", ["train/good/001.png", "test/good/000.png", "ground_truth/crack/000_mask.png"])
@pytest.mark.parametrize("kind", ["link", "annex link", "lfs", "annex"])
def test_links_and_pointers_without_content_are_named(tmp_path, place, kind):
    path = mvtec(tmp_path) / place
    path.unlink()
    if "link" in kind:
        path.symlink_to("../.git/annex/objects/x.png" if kind == "annex link" else "nowhere.png")
    else:
        path.write_text(LFS if kind == "lfs" else ANNEX)
    reason = {
        "link": "a link to a file that is not there",
        "annex link": r"a link to a file that is not there; fetch it with git annex get",
        "lfs": "a Git LFS pointer without its content; fetch it with git lfs pull",
        "annex": "a git-annex pointer without its content; fetch it with git annex get",
    }[kind]
    with pytest.raises(DatasetError, match=rf"(?s)1 problem:.*cannot be decoded \(.*{reason}\)"):
        DataSource(name="mvtec", layout="mvtec", root=str(tmp_path)).checked("gear", skip_bad=False)
    assert len(open_category("mvtec", tmp_path, "gear", skip_bad=True, normal_only="good" in place).left_out) == (
        0 if "test/good" in place else 1
    )


def test_all_masks_without_content_do_not_pass_for_no_masks(tmp_path):
    folder = mvtec(tmp_path) / "ground_truth/crack"
    for path in folder.iterdir():
        path.unlink()
        path.symlink_to("nowhere.png")
    with pytest.raises(DatasetError, match=r"(?s)2 problems:.*mask 000_mask\.png: a link.*mask 001_mask\.png: a link"):
        open_category("mvtec", tmp_path, "gear")


def test_links_of_visa_are_named(tmp_path):
    path = visa(tmp_path) / "Data/Images/Normal/0002.JPG"
    path.unlink()
    path.symlink_to("nowhere.JPG")
    with pytest.raises(DatasetError, match=r"0002\.JPG cannot be decoded \(a link to a file that is not there\)"):
        open_category("visa", tmp_path, "candle")


def test_two_images_of_one_stem_do_not_share_a_mask(tmp_path):
    folder = mvtec(tmp_path)
    write(folder / "test/crack/000.jpg")
    with pytest.raises(DatasetError, match=r"belong to one image, but .*000_mask\.png .* test/crack/000\.jpg, test/cr"):
        open_category("mvtec", tmp_path, "gear")
    for path in (folder / "ground_truth/crack").iterdir():
        path.unlink()
    assert len(open_category("mvtec", tmp_path, "gear").test) == 4


def test_system_and_hidden_files_are_ignored(tmp_path):
    folder = mvtec(tmp_path)
    before = open_category("mvtec", tmp_path, "gear")
    for place in ("", "test", "test/good", "test/crack", "train", "train/good", "ground_truth/crack"):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._000.png", ".hidden.heic", "Icon\r"):
            (folder / place / name).write_bytes(b"no image")
        for name in ("@eaDir", "__MACOSX", ".ipynb_checkpoints", "lost+found"):
            write(folder / place / name / "000.png")
    assert open_category("mvtec", tmp_path, "gear") == before
    for name in ("@eaDir", "__MACOSX", "lost+found"):
        (tmp_path / name / "test").mkdir(parents=True)
    assert category_names("mvtec", tmp_path) == ("gear",)


@pytest.mark.parametrize("suffix", ["PNG", "Png", "JPG", "jpeg", "JPEG", "tif", "TIFF", "bmp", "webp"])
def test_every_case_and_known_format_is_used(tmp_path, suffix):
    write(mvtec(tmp_path) / f"train/good/more.{suffix}")
    assert f"train/good/more.{suffix}" in names(open_category("mvtec", tmp_path, "gear").train)


@pytest.mark.parametrize("layout", ["mvtec", "folder"])
@pytest.mark.parametrize("suffix", ["heic", "GIF", "npy", "avif", "jp2", "JFIF", "tga", "dng"])
def test_images_of_other_formats_are_named(tmp_path, suffix, layout):
    folder = mvtec(tmp_path)
    if layout == "folder":
        (folder / "train").rename(folder / "rest")
        (folder / "rest/good").rename(folder / "normal")
    for number in range(5):
        (folder / f"test/crack/x{number}.{suffix}").write_bytes(b"something")
    with pytest.raises(DatasetError, match=rf"test/crack holds x0\.{suffix}, x1.*, x2.* and 2 more: convert them"):
        open_category(layout, tmp_path, "gear")


@pytest.mark.parametrize("place", ["test", "train"])
def test_images_beside_the_folders_of_their_kinds_are_named(tmp_path, place):
    write(mvtec(tmp_path) / place / "000.png")
    with pytest.raises(DatasetError, match=rf"must lie in a folder of .*gear/{place}, but 000\.png lie directly"):
        open_category("mvtec", tmp_path, "gear")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize("place", ["train/good/001.png", "test/good/000.png", "test/crack", "."])
def test_names_that_are_not_utf_8_are_named_escaped(tmp_path, place):
    path = mvtec(tmp_path) / place
    path.rename(path.parent / os.fsdecode(b"caf\xe9" + os.fsencode(path.suffix)))
    (category,) = category_names("mvtec", tmp_path)
    with pytest.raises(DatasetError, match=r"must be UTF-8, but .*caf\\udce9.* is not: rename it") as caught:
        open_category("mvtec", tmp_path, category)
    str(caught.value).encode("utf-8")
