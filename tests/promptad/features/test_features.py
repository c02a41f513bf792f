"""Feature extraction: one forward pass an image, the same bits in any company, and the cache in between."""

import dataclasses
import functools

import pytest
import torch
from helpers.small_models import image_files, pixels, small_backbone
from torch.nn.functional import normalize

from promptad.backbones.towers import encode_images
from promptad.datasets.content import digest_of_file
from promptad.features import extraction
from promptad.features.cache import FeatureCache
from promptad.features.extraction import Features, ImageInput, extract_features, file_inputs
from promptad.images.preparation import Preprocessing, load_image, normalised

PREPROCESSING = Preprocessing(size=32)
VIEWS = ("global", "local/vv", "local/clip", "block/1", "block/3", "attended/2", "stream")


@pytest.fixture(scope="module")
def backbone():
    return small_backbone()


@pytest.fixture
def forwards(backbone):
    """Batch sizes of the forward passes of the image tower during a test."""
    seen = []
    embedding = backbone.model.visual.conv1
    hook = embedding.register_forward_hook(lambda _module, images, _output: seen.append(len(images[0])))
    yield seen
    hook.remove()


def inputs(*seeds):
    return [ImageInput(identity=f"pixels {seed}", pixels=functools.partial(pixels, seed)) for seed in seeds]


def extract(backbone, seeds, views=VIEWS, **options):
    return extract_features(backbone, inputs(*seeds), preprocessing=PREPROCESSING, views=views, **options)


def assert_same(first, second):
    assert first.views.keys() == second.views.keys()
    for view in first.views:
        assert torch.equal(first.stack(view), second.stack(view)), view


def test_views_are_the_towers_outputs_normalised_but_the_stream(backbone):
    found = extract(backbone, [1, 2])
    batch = torch.stack([normalised(pixels(seed), PREPROCESSING) for seed in (1, 2)])
    raw = encode_images(backbone.model.visual, batch, local=("vv", "clip", "linear"), blocks=(1, 3), attended=(2,))
    expected = {
        "global": raw.global_feature,
        "local/vv": raw.local["vv"],
        "local/clip": raw.local["clip"],
        "block/1": raw.blocks[1],
        "block/3": raw.blocks[3],
        "attended/2": raw.attended[2],
    }
    for view, value in expected.items():
        torch.testing.assert_close(found.stack(view), normalize(value, dim=-1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.stack("stream"), raw.stream, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(raw.stream.norm(dim=-1), torch.ones(()))
    assert found.views.keys() == set(VIEWS)


def test_one_forward_pass_an_image_for_all_views(backbone, forwards):
    extract(backbone, [1, 2, 3])
    assert forwards == [1, 1, 1]


def test_features_are_the_same_bits_in_any_company(backbone, tmp_path):
    alone = [extract(backbone, [seed]) for seed in (1, 2, 3)]
    together, reversed_ = extract(backbone, [1, 2, 3]), extract(backbone, [3, 2, 1])
    stored = FeatureCache(tmp_path)
    extract(backbone, [2], cache=stored)
    mixed = extract(backbone, [1, 2, 3], cache=stored)
    for place in range(3):
        for view in VIEWS:
            expected = alone[place].views[view][0]
            for other in (together.views[view][place], reversed_.views[view][2 - place], mixed.views[view][place]):
                assert torch.equal(expected, other)


def test_a_view_is_the_same_bits_whatever_else_is_asked_for(backbone):
    everything = extract(backbone, [1])
    for view in VIEWS:
        assert torch.equal(extract(backbone, [1], [view]).views[view][0], everything.views[view][0])


def test_cache_hits_do_no_forward_pass(backbone, forwards, tmp_path):
    stored = FeatureCache(tmp_path)
    first = extract(backbone, [1, 2], cache=stored)
    assert forwards == [1, 1]
    assert stored.info().files == 2 * len(VIEWS)
    again = extract(backbone, [1, 2], cache=stored)
    assert_same(first, again)
    assert forwards == [1, 1]
    # Another view of a known image costs a pass, a new image beside known ones one pass.
    extract(backbone, [1], ["block/2"], cache=stored)
    extract(backbone, [2, 5, 1], cache=stored)
    assert forwards == [1, 1, 1, 1]


def test_pixels_are_the_towers_input_decoded_when_asked_for_and_once_for_a_cache(backbone, forwards, tmp_path):
    decoded = []

    def pixels_of(seed):
        decoded.append(seed)
        return pixels(seed)

    three = [ImageInput(identity=str(seed), pixels=functools.partial(pixels_of, seed)) for seed in (1, 2, 3)]
    stored, fetched = FeatureCache(tmp_path), []
    found = extract_features(
        backbone,
        three,
        preprocessing=PREPROCESSING,
        views=["pixels"],
        cache=stored,
        on_image=lambda: fetched.append(1),
    )
    assert (decoded, len(found), len(fetched), stored.info().files) == ([], 3, 3, 0)
    expected = torch.stack([normalised(pixels(seed), PREPROCESSING) for seed in (1, 2, 3)])
    assert torch.equal(found.stack("pixels"), expected)
    assert torch.equal(found.stack("pixels", 1, 2), expected[1:2])
    assert torch.equal(found.views["pixels"][-1], expected[2])
    assert decoded == [1, 2, 3]
    # Neither another tower of this input's size nor another order of channels decodes again; without a cache all do.
    blue_first = dataclasses.replace(PREPROCESSING, channels="bgr")
    turned = extract_features(backbone, three, preprocessing=blue_first, views=["pixels"], cache=stored)
    assert torch.equal(turned.stack("pixels")[0], normalised(pixels(1), blue_first))
    assert decoded == [1, 2, 3]
    assert stored.info().files == 3
    for _ in range(2):
        extract_features(backbone, three[:1], preprocessing=PREPROCESSING, views=["pixels"]).stack("pixels")
    assert decoded == [1, 2, 3, 1, 1]
    assert forwards == []
    beside = extract(backbone, [1, 2], [*VIEWS, "pixels"])
    assert torch.equal(beside.stack("pixels"), expected[:2])
    assert_same(extract(backbone, [1, 2]), Features(views={v: beside.views[v] for v in VIEWS}, device=beside.device))


def test_pictures_are_cached_by_their_size(backbone, tmp_path):
    decoded = []

    def enlarged(factor):
        decoded.append(factor)
        return pixels(1, factor * 32)

    one = [ImageInput(identity="1", pixels=functools.partial(enlarged, 1), enlarged=enlarged)]
    views = ["pixels", "pictures/1", "pictures/2"]
    for _ in range(2):
        found = extract_features(backbone, one, preprocessing=PREPROCESSING, views=views, cache=FeatureCache(tmp_path))
        for factor in (1, 2):
            assert torch.equal(found.stack(f"pictures/{factor}")[0], torch.from_numpy(pixels(1, factor * 32)))
        assert torch.equal(found.stack("pixels")[0], normalised(pixels(1), PREPROCESSING))
    assert decoded == [1, 2]
    only = [ImageInput(identity="2", pixels=functools.partial(pixels, 2), name="screw/7.png")]
    found = extract_features(backbone, only, preprocessing=PREPROCESSING, views=views)
    with pytest.raises(ValueError, match=r"screw/7\.png must be readable at 2 times the tower's size, but is not"):
        found.stack("pictures/2")


def test_pixels_have_the_backbones_precision():
    found = extract(small_backbone(precision="fp16"), [1], ["pixels"])
    expected = normalised(pixels(1), PREPROCESSING).half()
    assert torch.equal(found.stack("pixels")[0], expected)


def test_images_are_decoded_ahead_in_order_and_not_all_at_once(backbone):
    decoded, fetched = [], []

    def pixels_of(seed):
        decoded.append(seed)
        return pixels(seed)

    many = [ImageInput(identity=str(seed), pixels=functools.partial(pixels_of, seed)) for seed in range(12)]
    waiting = []
    hook = backbone.model.visual.conv1.register_forward_hook(lambda *_: waiting.append(len(decoded) - len(waiting) - 1))
    found = extract_features(
        backbone, many, preprocessing=PREPROCESSING, views=["global"], on_image=lambda: fetched.append(1)
    )
    hook.remove()
    assert sorted(decoded) == list(range(12))
    assert len(fetched) == 12
    assert max(waiting) <= extraction.DECODED_AHEAD + 1
    assert torch.equal(found.stack("global"), extract(backbone, range(12), ["global"]).stack("global"))


def test_an_image_that_cannot_be_decoded_is_the_error(backbone):
    def unreadable():
        raise ValueError("plate/003.png is truncated")

    broken = [*inputs(1, 2), ImageInput(identity="bad", pixels=unreadable)]
    with pytest.raises(ValueError, match=r"plate/003\.png is truncated"):
        extract_features(backbone, broken, preprocessing=PREPROCESSING, views=["global"])


def test_pixels_of_cached_images_are_not_read(backbone, tmp_path):
    stored = FeatureCache(tmp_path)
    extract(backbone, [1], cache=stored)

    def unreadable():
        raise AssertionError("pixels were asked for")

    known = [ImageInput(identity="pixels 1", pixels=unreadable)]
    extract_features(backbone, known, preprocessing=PREPROCESSING, views=VIEWS, cache=stored)
    with pytest.raises(AssertionError, match="pixels were asked for"):
        extract_features(backbone, known, preprocessing=PREPROCESSING, views=["local/maskclip"], cache=stored)


def test_a_feature_of_another_card_is_another_feature(backbone, forwards, tmp_path, monkeypatch):
    stored = FeatureCache(tmp_path)
    for card in (None, "NVIDIA H100", "NVIDIA L4", "NVIDIA H100", None):
        monkeypatch.setattr("promptad.features.extraction.card_of", lambda _, name=card: name)
        extract(backbone, [1], cache=stored)
    assert forwards == [1, 1, 1]


def test_a_damaged_entry_is_computed_again(backbone, forwards, tmp_path):
    stored = FeatureCache(tmp_path)
    first = extract(backbone, [1, 2])
    forwards.clear()
    extract(backbone, [1, 2], cache=stored)
    damaged = min(tmp_path.rglob("*.safetensors"))
    content = bytearray(damaged.read_bytes())
    content[-3] ^= 1
    damaged.write_bytes(content)
    # A process checks a file once: another one finds it.
    assert_same(extract(backbone, [1, 2], cache=FeatureCache(tmp_path)), first)
    assert forwards == [1, 1, 1]
    assert_same(extract(backbone, [1, 2], cache=FeatureCache(tmp_path)), first)
    assert forwards == [1, 1, 1]


@pytest.mark.parametrize(
    "other",
    [
        {"preprocessing": Preprocessing(size=32, channels="bgr")},
        {"preprocessing": Preprocessing(size=32, resize="squash_via_1024")},
        {"backbone": small_backbone(seed=1)},
        {"backbone": small_backbone(precision="fp16")},
    ],
    ids=["channels", "resize", "weights", "precision"],
)
def test_other_settings_do_not_meet_in_the_cache(backbone, tmp_path, other):
    stored = FeatureCache(tmp_path)
    extract(backbone, [1], ["global"], cache=stored)
    settings = {"backbone": backbone, "preprocessing": PREPROCESSING} | other
    model = settings.pop("backbone")
    extract_features(model, inputs(1), views=["global"], cache=stored, **settings)
    assert stored.info().files == 2


def test_half_precision_features_are_half(backbone):
    half = extract(small_backbone(precision="fp16"), [1], ["global", "local/vv", "stream"])
    assert {tensor.dtype for tensors in half.views.values() for tensor in tensors} == {torch.float16}
    full = extract(backbone, [1], ["global"])
    torch.testing.assert_close(half.stack("global").float(), full.stack("global"), rtol=0, atol=1e-2)


def test_on_image_is_called_once_an_image(backbone, tmp_path):
    stored, calls = FeatureCache(tmp_path), []
    for _ in range(2):
        extract(backbone, [1, 2, 3], ["global"], cache=stored, on_image=lambda: calls.append(None))
    assert len(calls) == 6


def test_features_as_a_sequence(backbone):
    found = extract(backbone, [1, 2, 3, 4, 5], ["global"])
    assert len(found) == 5
    assert [(chunk.start, chunk.stop) for chunk in found.chunks(2)] == [(0, 2), (2, 4), (4, 5)]
    assert torch.equal(found.stack("global", 1, 3), found.stack("global")[1:3])
    assert not found.stack("global").requires_grad


def test_features_are_plain_tensors_of_their_own(backbone):
    feature = extract(backbone, [1], ["global"]).views["global"][0]
    # An inference tensor could not be saved for a backward pass.
    assert not feature.is_inference()
    assert feature.untyped_storage().nbytes() == feature.numel() * feature.element_size()


def test_files_are_identified_by_their_content(tmp_path):
    first, second = image_files(tmp_path, [1, 2])
    copy = tmp_path / "copy.png"
    copy.write_bytes(first.read_bytes())
    found = file_inputs([first, second, copy], PREPROCESSING)
    assert found[0].identity == found[2].identity == digest_of_file(first)
    assert found[0].identity != found[1].identity
    torch.testing.assert_close(
        normalised(found[1].pixels(), PREPROCESSING), load_image(second, PREPROCESSING), rtol=0, atol=0
    )
