import json

import numpy as np
import pytest
from PIL import Image

from promptad.tiny.render import benchmark
from promptad.tiny.render.benchmark import CATEGORIES, DEFECTS, MARKER, defective_image, good_image, write_benchmark
from promptad.tiny.render.families import BENCHMARK, TRAINING, VALIDATION


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(benchmark, "BENCHMARK", BENCHMARK[3:4])
    monkeypatch.setattr(benchmark, "TRAIN_GOOD", 2)
    monkeypatch.setattr(benchmark, "TEST_GOOD", 1)
    monkeypatch.setattr(benchmark, "TEST_PER_DEFECT", 1)


def test_categories_are_the_unseen_families():
    assert tuple(family.name for family in BENCHMARK) == CATEGORIES
    assert len(CATEGORIES) == 8
    assert not set(CATEGORIES) & {family.name for family in (*TRAINING, *VALIDATION)}
    assert all(3 <= len(kinds) <= 4 for kinds in DEFECTS.values())


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_layout_sizes_and_masks(tmp_path):
    root = tmp_path / "data" / "set"
    write_benchmark(root)
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*.png"))
    kinds = DEFECTS["gear"]
    assert found == sorted([
        "gear/train/good/000.png", "gear/train/good/001.png", "gear/test/good/000.png",
        *(f"gear/test/{kind}/000.png" for kind in kinds),
        *(f"gear/ground_truth/{kind}/000_mask.png" for kind in kinds),
    ])  # fmt: skip
    for kind in kinds:
        image = Image.open(root / "gear" / "test" / kind / "000.png")
        mask = Image.open(root / "gear" / "ground_truth" / kind / "000_mask.png")
        assert (image.size, image.mode) == ((192, 192), "RGB")
        assert (mask.size, mask.mode) == ((192, 192), "L")
        assert set(np.unique(np.asarray(mask))) == {0, 255}
        expected, truth = defective_image(BENCHMARK[3], 0, kind, 0)
        np.testing.assert_array_equal(np.asarray(image), expected)
        np.testing.assert_array_equal(np.asarray(mask) > 0, truth)
    assert [path.name for path in root.parent.iterdir()] == ["set"]


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_current_set_stays_and_an_old_one_is_replaced(tmp_path):
    root = tmp_path / "set"
    write_benchmark(root)
    marker, image = root / MARKER, root / "gear" / "train" / "good" / "000.png"
    original = image.read_bytes()
    image.write_bytes(b"kept")
    write_benchmark(root)
    assert image.read_bytes() == b"kept"
    marker.write_text(json.dumps({"renderer": "another"}), encoding="utf-8")
    write_benchmark(root)
    assert image.read_bytes() == original


@pytest.mark.usefixtures("small")
def test_a_killed_run_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmark, "defective_image", fail)
    with pytest.raises(KeyboardInterrupt):
        write_benchmark(tmp_path / "set")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_a_set_that_another_process_finished_first_is_kept(tmp_path, monkeypatch):
    root = tmp_path / "set"
    write_category = benchmark._write_category

    def race(folder, family, index):
        write_category(folder, family, index)
        (root / "gear").mkdir(parents=True)
        (root / MARKER).write_text(json.dumps({"renderer": benchmark.renderer_digest()}), encoding="utf-8")

        def lost(*_):
            raise OSError("directory not empty")

        monkeypatch.setattr(benchmark.Path, "rename", lost)

    monkeypatch.setattr(benchmark, "_write_category", race)
    write_benchmark(root)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    (root / MARKER).unlink()
    (root / "gear").rmdir()
    monkeypatch.setattr(benchmark, "_write_category", write_category)
    with pytest.raises(OSError, match="not empty"):
        write_benchmark(root)


@pytest.mark.usefixtures("small")
def test_another_folder_is_not_overwritten(tmp_path):
    (tmp_path / "holiday.png").touch()
    with pytest.raises(FileExistsError, match="holds other files"):
        write_benchmark(tmp_path)
    assert (tmp_path / "holiday.png").exists()


def test_images_of_a_category_show_one_product_and_all_differ():
    leather = BENCHMARK[0]
    train = [good_image(leather, 0, 0, number) for number in range(3)]
    test = good_image(leather, 0, 1, 0)
    means = np.stack([image.mean(axis=(0, 1)) for image in (*train, test)])
    assert np.ptp(means, axis=0).max() < 30
    for image in train[1:]:
        assert (image != train[0]).mean() > 0.3
    assert (test != train[0]).mean() > 0.3


def test_the_digest_follows_the_renderers_source(tmp_path, monkeypatch):
    before = benchmark.renderer_digest()
    for module in benchmark._RENDERER_MODULES:
        source = benchmark.Path(benchmark.__file__).with_name(f"{module}.py").read_bytes()
        (tmp_path / f"{module}.py").write_bytes(source)
    monkeypatch.setattr(benchmark, "__file__", str(tmp_path / "benchmark.py"))
    assert benchmark.renderer_digest() == before
    (tmp_path / "marks.py").write_bytes(b"# changed")
    assert benchmark.renderer_digest() != before
