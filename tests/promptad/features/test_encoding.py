"""Views that are not normalised, and views of turned copies: what they hold, the cache, and overflow."""

import functools

import pytest
import torch
from helpers.small_models import pixels, small_backbone
from torch.nn.functional import normalize

from promptad.backbones.towers import encode_images
from promptad.features.cache import FeatureCache
from promptad.features.encoding import ViewName, raw_view, rotated_view, view_shapes
from promptad.features.extraction import ImageInput, extract_features
from promptad.images.preparation import Preprocessing, normalised
from promptad.images.rotation import rotated_copies
from promptad.scoring.finite import NotFiniteError

PREPROCESSING = Preprocessing(size=32)
VIEWS = ("global", "raw/global", "raw/block/2", "block/2", "raw/attended/1", "raw/local/vv", "rotated/3/raw/global")


def inputs(*seeds):
    return [ImageInput(identity=f"pixels {seed}", pixels=functools.partial(pixels, seed)) for seed in seeds]


def extract(seeds, views, backbone=None, **options):
    return extract_features(
        backbone or small_backbone(), inputs(*seeds), preprocessing=PREPROCESSING, views=views, **options
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("global", (None, False, "global", "")),
        ("raw/block/3", (None, True, "block", "3")),
        ("local/vv", (None, False, "local", "vv")),
        ("rotated/8/raw/global", (8, True, "global", "")),
        ("rotated/64/windows/2", (64, False, "windows", "2")),
    ],
)
def test_names_have_parts(text, parts):
    assert ViewName.of(text) == ViewName(*parts)
    assert rotated_view(raw_view("global"), 8) == "rotated/8/raw/global"


def test_raw_views_are_the_towers_own_numbers():
    found = extract([1, 2], VIEWS)
    batch = torch.stack([normalised(pixels(seed), PREPROCESSING) for seed in (1, 2)])
    output = encode_images(small_backbone().model.visual, batch, local=("vv",), blocks=(2,), attended=(1,))
    for view, expected in {
        "raw/global": output.global_feature,
        "raw/block/2": output.blocks[2],
        "raw/attended/1": output.attended[1],
        "raw/local/vv": output.local["vv"],
    }.items():
        torch.testing.assert_close(found.stack(view), expected, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(found.stack(view).norm(dim=-1), torch.ones(()))
    torch.testing.assert_close(found.stack("block/2"), normalize(found.stack("raw/block/2"), dim=-1))


def test_turned_copies_are_images_of_their_own():
    (found,) = extract([1], ["rotated/3/raw/block/2", "rotated/4/global"]).views["rotated/3/raw/block/2"]
    assert found.shape == (3, 16, 32)
    for number, copy in enumerate(rotated_copies(pixels(1), 3)):
        alone = extract_features(
            small_backbone(),
            [ImageInput(identity=f"copy {number}", pixels=lambda copy=copy: copy)],
            preprocessing=PREPROCESSING,
            views=["raw/block/2"],
        )
        assert torch.equal(found[number], alone.views["raw/block/2"][0])


def test_a_view_is_the_same_bits_whatever_else_is_asked_for():
    everything = extract([1, 2], (*VIEWS, "windows/2", "stream"))
    for view in VIEWS:
        for place, seed in enumerate((1, 2)):
            assert torch.equal(extract([seed], [view]).views[view][0], everything.views[view][place]), view


def test_they_are_cached_like_any_view(tmp_path):
    stored = FeatureCache(tmp_path)
    first = extract([1, 2], VIEWS, cache=stored)
    assert stored.info().files == 2 * len(VIEWS)

    def unreadable():
        raise AssertionError("pixels were asked for")

    known = [ImageInput(identity=f"pixels {seed}", pixels=unreadable) for seed in (1, 2)]
    again = extract_features(
        small_backbone(), known, preprocessing=PREPROCESSING, views=VIEWS, cache=FeatureCache(tmp_path)
    )
    for view in VIEWS:
        assert torch.equal(again.stack(view), first.stack(view))
    with pytest.raises(AssertionError, match="pixels were asked for"):
        extract_features(
            small_backbone(), known, preprocessing=PREPROCESSING, views=["rotated/4/raw/global"], cache=stored
        )


def test_half_precision_that_overflows_is_an_error(monkeypatch):
    real = encode_images

    def grown(*arguments, **options):
        output = real(*arguments, **options)
        return type(output)(
            global_feature=output.global_feature,
            local=output.local,
            blocks={number: patches * 60_000 for number, patches in output.blocks.items()},
            attended=output.attended,
        )

    monkeypatch.setattr("promptad.features.encoding.encode_images", grown)
    half = small_backbone(precision="fp16")
    with pytest.raises(
        NotFiniteError, match=r"feature raw/block/2 must be finite, .* precision fp16 overflows: use fp32"
    ):
        extract([1], ["raw/block/2"], half)


def test_shapes_of_views_without_an_image():
    shapes = view_shapes(small_backbone(), VIEWS)
    found = extract([1], VIEWS)
    assert shapes == {view: tuple(found.views[view][0].shape) for view in VIEWS}
