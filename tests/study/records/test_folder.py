import errno
import os
import subprocess
import sys
import threading

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from helpers.places import ROOT

from study.records.folder import LedgerError, StudyFolder


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    return StudyFolder(str(tmp_path / "study") if request.param == "local" else f"memory://{tmp_path.name}")


def test_files_are_written_listed_read_and_removed(folder):
    assert folder.names("rows", ".json") == []
    assert folder.read("rows/a.json") is None
    folder.write("rows/b.json", b"2")
    folder.write("rows/a.json", b"1")
    folder.write("rows/a.txt", b"other")
    assert folder.names("rows", ".json") == ["a", "b"]
    assert folder.read_all(["rows/b.json", "rows/c.json", "rows/a.json"]) == {"rows/b.json": b"2", "rows/a.json": b"1"}
    folder.write("rows/a.json", b"new")
    assert folder.read("rows/a.json") == b"new"
    folder.remove("rows/a.json")
    folder.remove("rows/a.json")
    assert folder.names("rows", ".json") == ["b"]


def test_a_file_is_created_once(folder):
    assert folder.create("driver.lock", b"first")
    assert not folder.create("driver.lock", b"second")
    assert folder.read("driver.lock") == b"first"
    folder.remove("driver.lock")
    assert folder.create("driver.lock", b"third")


def test_of_many_who_create_at_once_one_wins(tmp_path):
    folders = [StudyFolder(str(tmp_path)) for _ in range(16)]
    won = []

    def create(number):
        if folders[number].create("driver.lock", b"%d" % number):
            won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert folders[0].read("driver.lock") == b"%d" % won[0]


def test_a_folder_with_pattern_characters_is_read_as_it_is_named(tmp_path):
    folder = StudyFolder(str(tmp_path / "a[1]*"))
    folder.write("rows/a.json", b"1")
    folder.write("rows/b.json", b"2")
    assert len(folder.read_all(["rows/a.json", "rows/b.json"])) == 2


@pytest.mark.parametrize("name", ["../a.json", "rows/../../a.json", "/etc/passwd", "rows//a", "rows/.", "a\\b", ""])
def test_names_cannot_leave_the_folder(folder, name):
    for use in (
        folder.read,
        folder.remove,
        lambda name: folder.write(name, b""),
        lambda name: folder.create(name, b""),
    ):
        with pytest.raises(LedgerError, match="must have a name of plain parts, but got"):
            use(name)


@pytest.mark.parametrize("location", ["simplecache::s3://bucket/study", "zip://a::/tmp/b.zip"])
def test_a_chain_of_protocols_is_no_study_folder(location):
    with pytest.raises(LedgerError, match="cannot be opened: a chain of protocols"):
        StudyFolder(location)


def test_a_full_disk_leaves_the_earlier_file_and_no_half_one(tmp_path, monkeypatch):
    folder = StudyFolder(str(tmp_path))
    folder.write("rows/a.json", b"earlier")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LedgerError, match=r"a\.json cannot be written.*No space left on device.*free the disk"):
        folder.write("rows/a.json", b"later")
    monkeypatch.undo()
    assert folder.read("rows/a.json") == b"earlier"
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["a.json"]


class NoCredentialsError(Exception):
    """Back ends have errors of their own, which share no base with OSError."""


class Closed(MemoryFileSystem):
    protocol = "closed"

    def _refuse(self, *_, **__):
        raise NoCredentialsError("unable to locate credentials")

    ls = cat_ranges = pipe_file = rm_file = exists = _refuse


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda folder: folder.names("rows", ".json"), "closed://study cannot be read: unable to locate credentials"),
        (lambda folder: folder.read("rows/a.json"), "closed://study cannot be read: unable to locate credentials"),
        (lambda folder: folder.write("rows/a.json", b""), r"a\.json cannot be written: unable to locate credentials"),
        (lambda folder: folder.create("a.lock", b""), r"a\.lock cannot be written: unable to locate credentials"),
        (lambda folder: folder.remove("a.lock"), r"a\.lock cannot be removed: unable to locate credentials"),
    ],
)
def test_a_back_ends_own_errors_name_the_folder(use, message):
    fsspec.register_implementation("closed", Closed, clobber=True)
    with pytest.raises(LedgerError, match=message):
        use(StudyFolder("closed://study"))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_is_really_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        folder = StudyFolder(str(disk / "study"))
        folder.write("rows/a.json", b"x" * 1000)
        with pytest.raises(LedgerError, match=r"b\.json cannot be written.*No space left on device"):
            folder.write("rows/b.json", b"x" * 200_000)
        assert folder.names("rows", "") == ["a.json"]
        folder.write("rows/c.json", b"fits")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_whole_files(tmp_path):
    code = (
        "import sys, itertools\n"
        "from study.records.folder import StudyFolder\n"
        "folder = StudyFolder(sys.argv[1])\n"
        "for number in itertools.count():\n"
        "    folder.write('rows/a.json', (str(number % 10) * 100_000).encode())\n"
        "    print(number, flush=True)\n"
    )
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT)
        for _ in range(5):
            writer.stdout.readline()
        writer.kill()
        writer.communicate()
        content = StudyFolder(str(tmp_path)).read("rows/a.json")
        assert len(content) == 100_000
        assert len(set(content)) == 1
    assert StudyFolder(str(tmp_path)).names("rows", ".json") == ["a"]
