"""The feature cache: what is put comes back, or nothing does."""

import errno
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from promptad.features import cache
from promptad.features.cache import FeatureCache, feature_key
from promptad.features.cache_folder import default_root

KEY = "ab" + "0" * 38


def tensor(seed=0, shape=(3, 4), dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def key(number):
    return f"{number:02x}" + "0" * 38


def only_file(root):
    [path] = [path for path in root.rglob("*") if path.is_file()]
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4)])
def test_round_trip(tmp_path, dtype, shape):
    stored = FeatureCache(tmp_path)
    assert stored.get(KEY) is None
    stored.put(KEY, tensor(1, shape, dtype))
    found = FeatureCache(tmp_path).get(KEY)
    assert found.dtype == dtype
    assert torch.equal(found, tensor(1, shape, dtype))


def test_transposed_tensors_and_slices_are_stored_as_they_look(tmp_path):
    stored = FeatureCache(tmp_path)
    stored.put(KEY, tensor().T)
    assert torch.equal(stored.get(KEY), tensor().T)
    stored.put(KEY, tensor()[1:, ::2])
    assert torch.equal(stored.get(KEY), tensor()[1:, ::2])


def test_a_process_opens_a_file_once_while_it_is_among_the_last_that_it_read(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr("promptad.features.cache.MAPPED", 2)
    monkeypatch.setattr(
        "promptad.features.cache.safe_open", lambda path, **how: opened.append(path.stem) or safe_open(path, **how)
    )
    stored = FeatureCache(tmp_path)
    for key in ("aa", "bb", "cc"):
        stored.put(key, tensor())
    for key in ("aa", "bb", "aa", "cc", "aa", "bb"):
        assert torch.equal(stored.get(key), tensor())
    assert opened == ["aa", "bb", "cc", "bb"]
    stored.put("aa", tensor() + 1)
    assert torch.equal(stored.get("aa"), tensor() + 1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's list of mappings")
def test_what_is_kept_comes_back_mapped(tmp_path):
    kept = FeatureCache(tmp_path).keep(KEY, tensor(shape=(1 << 16,)))
    assert torch.equal(kept, tensor(shape=(1 << 16,)))
    assert KEY in Path("/proc/self/maps").read_text()


def test_what_cannot_be_kept_comes_back_as_it_is(tmp_path):
    (tmp_path / "features").write_text("a file where the folder should be")
    given = tensor()
    assert FeatureCache(tmp_path).keep(KEY, given) is given


def test_one_file_and_no_partial_one(tmp_path):
    FeatureCache(tmp_path).put(KEY, tensor())
    assert only_file(tmp_path) == tmp_path / "features" / "ab" / f"{KEY}.safetensors"


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's list of mappings")
def test_tensors_are_mapped_not_read(tmp_path):
    stored = FeatureCache(tmp_path)
    stored.put(KEY, tensor(shape=(1 << 16,)))
    found = stored.get(KEY)
    mapped = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if KEY in line]
    assert mapped
    spans = [[int(bound, 16) for bound in fields[0].split("-")] for fields in mapped]
    assert any(low <= found.data_ptr() < high for low, high in spans)
    # An evicted file's mapping stays valid.
    stored.clear()
    assert torch.equal(found, tensor(shape=(1 << 16,)))


def test_truncated_file_is_dropped(tmp_path):
    stored = FeatureCache(tmp_path)
    for kept in (0, 4, 8, 100, -1):
        stored.put(KEY, tensor())
        path = only_file(tmp_path)
        path.write_bytes(path.read_bytes()[:kept])
        assert stored.get(KEY) is None
        assert not path.exists()
    stored.put(KEY, tensor())
    assert torch.equal(stored.get(KEY), tensor())


def test_no_flipped_bit_is_returned_as_a_feature(tmp_path):
    stored = FeatureCache(tmp_path)
    stored.put(KEY, tensor())
    path = only_file(tmp_path)
    intact = path.read_bytes()
    dropped = 0
    for place, bit in itertools.product(range(len(intact)), (0, 5)):
        altered = bytearray(intact)
        altered[place] ^= 1 << bit
        path.write_bytes(altered)
        found = stored.get(KEY)
        assert found is None or (found.dtype == torch.float32 and torch.equal(found, tensor())), (place, bit)
        assert path.exists() == (found is not None)
        dropped += found is None
    assert dropped >= 2 * 12 * 4  # every bit of the data, at least


def test_a_file_without_checksum_is_dropped(tmp_path):
    from safetensors.torch import save_file

    stored = FeatureCache(tmp_path)
    stored.put(KEY, tensor())
    path = only_file(tmp_path)
    save_file({"feature": tensor()}, path)
    assert stored.get(KEY) is None
    assert not path.exists()


WRITER = """
import sys, torch
from pathlib import Path
from promptad.features.cache import FeatureCache
stored = FeatureCache(Path(sys.argv[1]))
expected = {number: torch.full((2000,), float(number)) for number in range(3)}
hits = 0
for turn in range(60):
    for number, tensor in expected.items():
        stored.put(f"{number:02x}" + "0" * 38, tensor)
        found = stored.get(f"{number:02x}" + "0" * 38)
        assert found is not None, "a written feature is missing"
        assert torch.equal(found, tensor), "a feature is damaged"
        hits += 1
print(hits)
"""


@pytest.mark.slow
def test_two_processes_write_and_read_the_same_keys(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    writers = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for writer in writers:
        out, error = writer.communicate(timeout=60)
        assert (writer.returncode, out.strip()) == (0, "180"), error
    assert FeatureCache(tmp_path).info().files == 3


def fill(root, cap, count=4):
    """A cache of ``count`` equal files, key(0) the oldest; returns it and the size of one file."""
    writer = FeatureCache(root)
    for number in range(count):
        writer.put(key(number), tensor(number, (256,)))
        age(root, number, count - number)
    return FeatureCache(root, cap=cap), writer.info().size // count


def age(root, number, hours):
    path = root / "features" / key(number)[:2] / f"{key(number)}.safetensors"
    moment = 1_700_000_000 - 3600 * hours
    os.utime(path, (moment, moment))


def held(root, count=4):
    kept = {path.stem for path in root.rglob("*.safetensors")}
    return [number for number in range(count) if key(number) in kept]


def test_least_recently_used_goes_first(tmp_path):
    _, size = fill(tmp_path, cap=0)
    stored = FeatureCache(tmp_path, cap=2 * size)
    assert torch.equal(stored.get(key(0)), tensor(0, (256,)))  # the oldest file becomes the newest
    assert stored.evict() == 2 * size
    assert held(tmp_path) == [0, 3]
    assert stored.evict() == 0


def test_eviction_stops_at_the_cap(tmp_path):
    _, size = fill(tmp_path, cap=0)
    assert FeatureCache(tmp_path, cap=4 * size).evict() == 0
    stored = FeatureCache(tmp_path, cap=3 * size + 1)
    assert stored.evict() == size
    assert held(tmp_path) == [1, 2, 3]
    assert FeatureCache(tmp_path, cap=0).evict() == 3 * size


def test_put_keeps_the_cache_near_its_cap(tmp_path):
    _, size = fill(tmp_path, cap=0, count=1)
    stored = FeatureCache(tmp_path, cap=5 * size)
    for number in range(40):
        stored.put(key(number), tensor(number, (256,)))
        assert stored.info().size <= 5 * size
        assert torch.equal(stored.get(key(number)), tensor(number, (256,)))


def test_info_and_clear(tmp_path):
    stored, size = fill(tmp_path, cap=12345)
    info = stored.info()
    assert (info.root, info.files, info.size, info.cap) == (tmp_path / "features", 4, 4 * size, 12345)
    assert stored.clear() == info
    assert (stored.info().files, stored.info().size) == (0, 0)
    assert FeatureCache(tmp_path / "nowhere").info().files == 0


def test_clear_leaves_what_is_not_the_caches(tmp_path):
    stored, _ = fill(tmp_path, cap=0)
    (tmp_path / "notes.txt").write_text("mine")
    stored.clear()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_full_disk_is_no_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(self, content):
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    stored = FeatureCache(tmp_path)
    stored.put(KEY, tensor())
    assert stored.get(KEY) is None
    assert stored.info().files == 0


def test_a_root_that_cannot_be_a_folder_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    stored = FeatureCache(tmp_path / "file")
    stored.put(KEY, tensor())
    assert stored.get(KEY) is None
    assert (tmp_path / "file").read_text() == "in the way"


def test_key_changes_with_every_argument(monkeypatch):
    arguments = {"image": "i", "weights": "w", "activation": "gelu", "precision": "fp32"}
    arguments |= {"preprocessing": "p", "view": "global"}
    keys = {feature_key(**arguments)}
    assert feature_key(**arguments) in keys
    for name in arguments:
        keys.add(feature_key(**arguments | {name: "other"}))
    # No two arguments may run together.
    keys.add(feature_key(**arguments | {"image": "iw", "weights": ""}))
    keys.add(feature_key(**arguments | {"image": "", "weights": "iw"}))
    monkeypatch.setattr(cache, "FEATURE_VERSION", cache.FEATURE_VERSION + 1)
    keys.add(feature_key(**arguments))
    assert len(keys) == 10
    assert {len(each) for each in keys} == {40}


def test_default_root(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMPTAD_CACHE", str(tmp_path / "named"))
    assert default_root() == tmp_path / "named"
    monkeypatch.delenv("PROMPTAD_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_root() == tmp_path / "xdg" / "promptad-study"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / ".cache" / "promptad-study"
