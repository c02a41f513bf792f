"""The detector as a library: fit on files, score files, save and load."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.small_models import image_files, pixels, small_backbone
from PIL import Image
from safetensors import safe_open

from promptad.backbones.backbone import load_backbone
from promptad.configs.promptad_config import PromptADConfig
from promptad.datasets import UnreadableImageError
from promptad.detector import Detector, DetectorError
from promptad.detector_file import FORMAT
from promptad.features.cache import FeatureCache
from promptad.features.extraction import extract_features, file_inputs
from promptad.features.support_poses import view_inputs
from promptad.images.preparation import Preprocessing
from promptad.methods.promptad import PromptAD
from promptad.scoring.maps import finished_maps

CONFIG = PromptADConfig(epochs=2, learning_rate=0.05, initial_deviation=0.5, map_size=40)


@pytest.fixture(scope="module")
def backbone():
    return small_backbone()


@pytest.fixture(scope="module")
def support(tmp_path_factory):
    return image_files(tmp_path_factory.mktemp("support"), [1, 2])


@pytest.fixture(scope="module")
def query(tmp_path_factory):
    return image_files(tmp_path_factory.mktemp("query"), [10, 11, 12])


@pytest.fixture(scope="module")
def detector(backbone, support):
    return Detector.fit(backbone, support, category="bottle", config=CONFIG, seed=3)


def assert_same(first, second):
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.maps, second.maps)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"map_smoothing": 1.5, "map_size": 20},
        {"query_channels": "bgr", "resize": "squash_via_1024"},
        {"support_views": "augmented"},
    ],
    ids=lambda changes: ",".join(changes) or "default",
)
def test_a_detector_is_both_trainings_on_the_same_files(backbone, support, query, changes):
    config = CONFIG.with_changes(changes)
    found = Detector.fit(backbone, support, category="bottle", config=config, seed=3).score(query)
    plain = Preprocessing(size=32, resize=config.resize)
    asked = Preprocessing(size=32, resize=config.resize, channels=config.query_channels)
    for task in ("image", "pixel"):
        views = PromptAD().views(config, task, backbone)
        augmented = config.support_views == "augmented"
        inputs = view_inputs(support, plain, shift=4) if augmented else file_inputs(support, plain)
        seen = extract_features(backbone, inputs, preprocessing=plain, views=views)
        features = extract_features(backbone, file_inputs(query, asked), preprocessing=asked, views=views)
        scores = PromptAD().fit(backbone, seen, config, task=task, category="bottle", seed=3).score(features)
        if task == "image":
            np.testing.assert_array_equal(found.scores, scores.image.numpy())
        else:
            expected = finished_maps(scores.maps, size=config.map_size, smoothing=config.map_smoothing)
            np.testing.assert_array_equal(found.maps, expected)


def test_detection_has_one_score_and_one_map_an_image(detector, query):
    detection = detector.score(query)
    assert (detection.scores.shape, detection.maps.shape) == ((3,), (3, 40, 40))
    assert (detection.scores.dtype, detection.maps.dtype) == (np.float32, np.float32)
    assert detection.scores.std() > 0
    reversed_ = detector.score(query[::-1])
    np.testing.assert_array_equal(reversed_.scores, detection.scores[::-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("resize", "boxes"),
    [
        ("shorter_edge", [(12, 0, 36, 24), (0, 12, 24, 36), (12, 0, 36, 24)]),
        ("squash", [(0, 0, 48, 24), (0, 0, 24, 48), (0, 0, 48, 24)]),
        ("squash_via_1024", [(0, 0, 48, 24), (0, 0, 24, 48), (0, 0, 48, 24)]),
    ],
)
def test_boxes_say_where_in_the_upright_picture_a_map_lies(backbone, support, tmp_path, resize, boxes):
    wide, tall, turned = (tmp_path / name for name in ("wide.png", "tall.png", "turned.png"))
    Image.new("RGB", (48, 24)).save(wide)
    Image.new("RGB", (24, 48)).save(tall)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (24, 48)).save(turned, exif=exif)
    config = CONFIG.with_changes({"resize": resize})
    found = Detector.fit(backbone, support, category="bottle", config=config).score([wide, tall, turned])
    np.testing.assert_allclose(found.boxes, boxes)


def test_what_lies_outside_its_box_does_not_change_a_map(detector, tmp_path):
    # Of the network's size, so that nothing is scaled.
    square = pixels(10, 32)
    Image.fromarray(square).save(tmp_path / "square.png")
    beside = [np.zeros_like(square), square, np.full_like(square, 255)]
    Image.fromarray(np.concatenate(beside, axis=1)).save(tmp_path / "long.png")
    found = detector.score([tmp_path / "square.png", tmp_path / "long.png"])
    np.testing.assert_array_equal(found.boxes, [(0, 0, 32, 32), (32, 0, 64, 32)])
    np.testing.assert_array_equal(found.maps[1], found.maps[0])


def test_fitting_depends_on_seed_and_category_alone(backbone, support, query, detector):
    torch.manual_seed(99)
    again = Detector.fit(backbone, [str(path) for path in support], category="bottle", config=CONFIG, seed=3)
    assert_same(again.score([str(path) for path in query]), detector.score(query))
    for options in ({"category": "cable", "seed": 3}, {"category": "bottle", "seed": 4}):
        other = Detector.fit(backbone, support, config=CONFIG, **options)
        assert not np.array_equal(other.score(query).scores, detector.score(query).scores)


def test_a_cache_changes_no_score(detector, query, tmp_path):
    cache = FeatureCache(tmp_path)
    first, second = detector.score(query, cache=cache), detector.score(query, cache=cache)
    assert cache.info().files > 0
    assert_same(first, detector.score(query))
    assert_same(second, first)


@pytest.mark.parametrize(
    "changes", [{}, {"transformation": "linear"}, {"vad": False, "own_suffixes": ("{} with rust",)}]
)
def test_saved_and_loaded_it_scores_the_same(backbone, support, query, tmp_path, changes):
    detector = Detector.fit(backbone, support, category="bottle", config=CONFIG.with_changes(changes))
    detector.save(tmp_path / "bottle.safetensors")
    loaded = Detector.load(tmp_path / "bottle.safetensors", backbone=backbone)
    assert (loaded.config, loaded.category) == (detector.config, "bottle")
    assert_same(loaded.score(query), detector.score(query))


def test_load_finds_the_backbone_by_its_name(support, query, tmp_path):
    fitted = Detector.fit(load_backbone("small-vit:random"), support, category="bottle", config=CONFIG)
    fitted.save(tmp_path / "bottle.safetensors")
    assert_same(Detector.load(tmp_path / "bottle.safetensors").score(query), fitted.score(query))


def test_half_precision_detector_round_trip(support, query, tmp_path):
    half, config = small_backbone(precision="fp16"), CONFIG.with_changes({"precision": "fp16"})
    detector = Detector.fit(half, support, category="bottle", config=config)
    detector.save(tmp_path / "half.safetensors")
    assert_same(Detector.load(tmp_path / "half.safetensors", backbone=half).score(query), detector.score(query))


def test_a_saved_file_says_what_it_is_and_holds_no_weights(detector, tmp_path):
    path = tmp_path / "bottle.safetensors"
    detector.save(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        names = set(file.keys())
    assert metadata["format"] == FORMAT
    assert (metadata["backbone"], metadata["weights"]) == ("small-vit:random", "seed-0")
    assert PromptADConfig.from_dict(json.loads(metadata["config"])) == CONFIG
    parts = ("prototypes", "memory/block/1", "memory/block/2")
    assert names == {f"{task}/{part}" for task in ("image", "pixel") for part in parts}


@pytest.mark.slow
def test_without_a_config_it_is_the_papers(backbone, support):
    assert Detector.fit(backbone, support[:1], category="bottle").config == PromptADConfig()


def test_no_images(backbone, detector):
    with pytest.raises(DetectorError, match="a detector needs at least 1 normal image, but got 0"):
        Detector.fit(backbone, [], category="bottle")
    with pytest.raises(DetectorError, match="score needs at least 1 image, but got 0"):
        detector.score([])


def test_an_epoch_cannot_be_picked_without_test_labels(backbone, support):
    config = CONFIG.with_changes({"selection": "best_on_test"})
    with pytest.raises(
        DetectorError, match="selection must be last, but is best_on_test: a detector has no test labels"
    ):
        Detector.fit(backbone, support, category="bottle", config=config)


def test_backbone_and_config_must_have_one_precision(support, detector, tmp_path):
    half = small_backbone(precision="fp16")
    message = r"must have one precision, but have fp16 and fp32: load_backbone\(..., precision='fp32'\)"
    with pytest.raises(DetectorError, match=message):
        Detector.fit(half, support, category="bottle", config=CONFIG)
    detector.save(tmp_path / "bottle.safetensors")
    with pytest.raises(DetectorError, match=message):
        Detector.load(tmp_path / "bottle.safetensors", backbone=half)


def test_other_weights_are_refused(detector, tmp_path):
    path = tmp_path / "bottle.safetensors"
    detector.save(path)
    message = r"was fitted on weights seed-0 of small-vit:random, but the backbone has seed-1: load the same checkpoint"
    with pytest.raises(DetectorError, match=message):
        Detector.load(path, backbone=small_backbone(seed=1))


def test_files_that_are_no_detector(tmp_path):
    missing, noise, other = (tmp_path / name for name in ("missing.safetensors", "noise.safetensors", "o.safetensors"))
    noise.write_bytes(b"no safetensors at all")
    safetensors.torch.save_file({"x": torch.zeros(1)}, other)
    for path in (missing, noise):
        with pytest.raises(DetectorError, match=rf"detector .*{path.name} cannot be read"):
            Detector.load(path)
    with pytest.raises(DetectorError, match=rf"detector .*{other.name} must be of format {FORMAT}, but is None"):
        Detector.load(other)


def test_unreadable_images(backbone, support, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(support[0].read_bytes()[:200])
    with pytest.raises(UnreadableImageError, match=r"broken\.png"):
        Detector.fit(backbone, [broken], category="bottle", config=CONFIG)


def test_paths_must_be_a_list_of_files():
    from promptad.detector import _existing

    with pytest.raises(DetectorError, match="must be a list of paths"):
        _existing("one.png", "none")
    with pytest.raises(DetectorError, match=r"there is none at /no/such\.png"):
        _existing(["/no/such.png"], "none")


def test_all_images_of_a_detector_have_the_bit_depth_of_its_normal_ones(backbone, tmp_path):
    def grey(name, top):
        values = np.linspace(0, top, 48 * 40).astype(np.uint16).reshape(40, 48)
        Image.fromarray(values).save(tmp_path / name)
        return tmp_path / name

    config = PromptADConfig(prompts="ensemble")
    fitted = Detector.fit(backbone, [grey("a.png", 1000), grey("b.png", 4000)], category="bottle", config=config)
    assert fitted.config.bit_depth == "12_bits"
    fitted.score([grey("dark.png", 200)])
    with pytest.raises(UnreadableImageError, match=r"c.png .*12_bits holds values up to 4095, but the largest is 9000"):
        fitted.score([grey("c.png", 9000)])


@pytest.fixture
def saved(detector, tmp_path):
    """A detector's file, and what is in it."""
    path = tmp_path / "bottle.safetensors"
    detector.save(path)
    with safe_open(path, framework="pt") as file:
        return path, dict(file.metadata()), safetensors.torch.load_file(path)


def without_digest(metadata):
    return {name: value for name, value in metadata.items() if name != "digest"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: parts.pop("image/memory/block/1"), "damaged, it lacks image/memory/block/1: fit it again"),
        (lambda parts: parts.pop("pixel/prototypes"), "lacks pixel/prototypes"),
        (lambda parts: parts.update(imagery=torch.zeros(1, 1)), "has in addition imagery"),
        (lambda parts: parts.update({"image/layers": torch.zeros(1, 1)}), "has in addition image/layers"),
        (
            lambda parts: parts.update({"image/prototypes": torch.zeros(2, 3)}),
            r"prototypes of shape \(2, 3\), which does",
        ),
        (
            lambda parts: parts.update({"image/memory/block/1": torch.zeros(0, 32)}),
            r"block/1 of shape \(0, 32\), which",
        ),
        (
            lambda parts: parts.update({"image/memory/block/1": torch.zeros(5, 31)}),
            r"block/1 of shape \(5, 31\), which",
        ),
        (
            lambda parts: parts["pixel/memory/block/2"].fill_(torch.nan),
            "NaN or infinite values in pixel/memory/block/2",
        ),
        (
            lambda parts: parts.update({"image/prototypes": parts["image/prototypes"].half()}),
            "has image/prototypes in torch.float16, not in torch.float32",
        ),
    ],
)
@pytest.mark.parametrize("digest", [True, False])
def test_a_file_that_lacks_a_part_is_refused(saved, backbone, change, message, digest):
    path, metadata, parts = saved
    change(parts)
    safetensors.torch.save_file(parts, path, metadata=metadata if digest else without_digest(metadata))
    with pytest.raises(DetectorError, match=message):
        Detector.load(path, backbone=backbone)


def test_a_changed_number_is_noticed_and_a_file_from_before_digests_is_loaded(saved, backbone):
    path, metadata, parts = saved
    safetensors.torch.save_file(parts, path, metadata=without_digest(metadata))
    Detector.load(path, backbone=backbone)
    for changed in ({"category": "cable"}, {"config": metadata["config"].replace("40", "41")}):
        safetensors.torch.save_file(parts, path, metadata=metadata | changed)
        with pytest.raises(DetectorError, match="was changed after it was saved: copy it again, or fit it again"):
            Detector.load(path, backbone=backbone)
    parts["image/memory/block/1"][0, 0] += 1e-3
    safetensors.torch.save_file(parts, path, metadata=metadata)
    with pytest.raises(DetectorError, match="was changed after it was saved"):
        Detector.load(path, backbone=backbone)


@pytest.mark.parametrize("name", ["backbone", "weights", "category", "config"])
def test_a_file_that_does_not_say_something_is_refused(saved, backbone, name):
    path, metadata, parts = saved
    safetensors.torch.save_file(parts, path, metadata={key: value for key, value in metadata.items() if key != name})
    with pytest.raises(DetectorError, match=f"must say its {name}, but does not: fit it again"):
        Detector.load(path, backbone=backbone)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"sc": tr', "holds no config of this version: Expecting"),
        ("[]", "must hold its config as fields"),
        ("3", "must hold its config as fields"),
        ('{"sc": 3}', "holds no config of this version: sc must be bool"),
        ('{"colour": 3}', "holds no config of this version: config has no field colour"),
        ("[" * 100_000, "holds no config of this version"),
    ],
)
def test_a_file_with_a_damaged_config_is_refused(saved, backbone, config, message):
    path, metadata, parts = saved
    safetensors.torch.save_file(parts, path, metadata=metadata | {"config": config})
    with pytest.raises(DetectorError, match=message):
        Detector.load(path, backbone=backbone)


def test_a_detector_is_saved_whole_or_not_at_all(detector, saved, backbone, monkeypatch):
    path, _, _ = saved
    before = path.read_bytes()
    with pytest.raises(DetectorError, match=r"cannot be saved: there is no folder .*no/such, make it first"):
        detector.save(path.parent / "no" / "such" / "d.safetensors")
    with pytest.raises(DetectorError, match=r"cannot be saved: Is a directory"):
        detector.save(path.parent)

    def full(_file, _content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(DetectorError, match="cannot be saved: No space left on device"):
            detector.save(path)
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    Detector.load(path, backbone=backbone)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([Image.new("RGB", (8, 8))], "got a value of type Image as image 1: save pictures to files first"),
        (np.zeros((2, 8, 8, 3)), "got a value of type ndarray as image 1, a value of type ndarray as image 2: save"),
        (["a.png", None], "got a value of type NoneType as image 2"),
        (None, "images must be a list of paths, but got a value of type NoneType"),
        (Image.new("RGB", (8, 8)), "but got a value of type Image: save pictures to files first"),
    ],
)
def test_images_are_paths(backbone, detector, images, message):
    with pytest.raises(DetectorError, match=message):
        Detector.fit(backbone, images, category="bottle", config=CONFIG)
    with pytest.raises(DetectorError, match=message):
        detector.score(images)


def test_images_may_come_from_a_generator(detector, query):
    assert_same(detector.score(path for path in query), detector.score(query))
