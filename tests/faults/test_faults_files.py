"""Full disks and truncated files: nothing is believed that is not whole, and nothing else is computed again."""

import subprocess
import sys
from pathlib import Path

import pytest

from promptad import Detector, load_backbone
from promptad.detector import DetectorError
from promptad.prompts.company import MOST

pytestmark = [pytest.mark.slow, pytest.mark.faults]


def pages(paths):
    """Bytes that files take on a file system with pages of 4 KiB."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in paths if path.is_file())


@pytest.fixture
def small_disk(tmp_path, undisturbed):
    """A disk with room for the plan and about half of the rows."""
    if sys.platform != "linux":
        pytest.skip("mounts a tmpfs")
    folder = tmp_path / "disk"
    folder.mkdir()
    parts = [undisturbed.root / name for name in ("plans", "rows", "examples")]
    size = pages(parts[0].iterdir()) + sum(pages(part.iterdir()) for part in parts[1:]) // 2 + 8 * 4096
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if made.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("executor", ["ray", "serial"])
def test_a_full_disk_stops_the_study_and_no_cell_is_blamed(executor, small_disk, new_study, undisturbed):
    study = new_study("--executor", executor, root=small_disk / "study")
    (study.faults / "pause").write_text("0")
    assert study.finish() == 2, study.said()
    assert "cannot be written" in study.said()
    assert "No space left on device" in study.said()
    assert "Traceback" not in study.said()
    study.mark(f"full disk ({executor})", "ENOSPC")
    before = study.rows()
    assert 0 < len(before) < len(undisturbed.rows())
    assert all(b'"status": "ok"' in row for row in before.values())
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    assert study.finish() == 0, study.said()
    redone = study.count()
    assert (study.lost, study.doubled) == (0, 0)
    # The rows that did not fit, none of which was shown, and the cells that went on until that was noticed: at most
    # what two workers can have taken.
    assert sum(redone) <= 2 * MOST
    assert sum(redone) <= len(undisturbed.rows()) - len(before)
    assert study.tables() == undisturbed.tables()


def test_truncated_rows_are_computed_again_and_no_others(new_study, undisturbed):
    study = new_study("--executor", "serial")
    (study.faults / "pause").write_text("0")
    (study.root / "rows").mkdir(parents=True)
    for digest, row in undisturbed.rows().items():
        (study.root / "rows" / f"{digest}.json").write_bytes(row)
    victims = sorted(study.rows())[::5]
    for victim, kept in zip(victims, (0, 1, 700, -2), strict=True):
        path = study.root / "rows" / f"{victim}.json"
        path.write_bytes(path.read_bytes()[:kept])
    whole = {digest: row for digest, row in undisturbed.rows().items() if digest not in victims}
    assert study.finish() == 0, study.said()
    assert sorted(study.begun()) == victims
    assert {digest: study.rows()[digest] for digest in whole} == whole
    assert study.tables() == undisturbed.tables()


def test_truncated_cache_entries_are_computed_again(new_study, undisturbed):
    study = new_study("--executor", "serial")
    (study.faults / "pause").write_text("0")
    features = sorted(Path(study.environment["PROMPTAD_CACHE"]).glob("features/*/*.safetensors"))
    assert len(features) > 10
    for number, path in enumerate(features[::2]):
        path.write_bytes(path.read_bytes()[: number * 97])
    assert study.finish() == 0, study.said()
    assert study.tables() == undisturbed.tables()


def test_a_truncated_detector_is_an_error_that_names_it(inspection_root, tmp_path):
    images = sorted((inspection_root / "plate" / "train" / "good").iterdir())[:1]
    whole = tmp_path / "plate.safetensors"
    Detector.fit(load_backbone("tiny"), images, category="plate").save(whole)
    content = whole.read_bytes()
    for kept in (0, 4, 8, 200, len(content) // 2, len(content) - 1):
        whole.write_bytes(content[:kept])
        with pytest.raises(DetectorError, match=r"detector .*plate\.safetensors cannot be read"):
            Detector.load(whole)
