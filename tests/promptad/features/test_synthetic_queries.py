import dataclasses

import numpy as np
import pytest
from helpers.small_models import image_files

from promptad.datasets import Sample
from promptad.datasets.content import digest_of_file
from promptad.features.synthetic_queries import DEFECTIVE, split_support, synthetic_queries
from promptad.images.preparation import Preprocessing, resized_pixels, support_views
from promptad.images.pseudo_anomalies import DEFECTS

PREPROCESSING = Preprocessing(size=32)


@pytest.fixture(scope="module")
def support(tmp_path_factory):
    paths = image_files(tmp_path_factory.mktemp("support"), range(4))
    return tuple(Sample(name=path.name, path=path, anomalous=False, kind="good") for path in paths)


def made(support, **changes):
    return synthetic_queries(
        support, **({"preprocessing": PREPROCESSING, "shift": 4, "category": "plate", "seed": 0} | changes)
    )


@pytest.mark.parametrize(("shots", "fitted", "held_out"), [(1, 1, 0), (2, 1, 1), (3, 2, 1), (4, 3, 1), (8, 6, 2)])
def test_a_quarter_of_the_support_is_held_out_and_nothing_of_one_image(shots, fitted, held_out):
    images = list(range(shots))
    assert split_support(images) == (tuple(images[:fitted]), tuple(images[fitted:]))
    assert len(split_support(images)[1]) == held_out


def test_queries_are_made_of_the_held_out_image(support):
    queries = made(support[:2])
    assert {sample.path for sample in queries.samples} == {support[1].path}
    assert queries.note == "pseudo-anomalies on 1 held-out support image"
    clean = [sample for sample in queries.samples if not sample.anomalous]
    assert len(clean) == 20
    assert len(queries.samples) == len(queries.inputs) == 20 + DEFECTIVE
    assert len({sample.name for sample in queries.samples}) == len({image.identity for image in queries.inputs}) == 44
    kinds = [sample.kind for sample in queries.samples if sample.anomalous]
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(DEFECTS, DEFECTIVE // len(DEFECTS))
    np.testing.assert_array_equal(queries.inputs[0].pixels(), resized_pixels(support[1].path, PREPROCESSING))


def test_of_one_support_image_only_other_views_are_asked_about_and_the_note_says_so(support):
    queries = made(support[:1])
    assert queries.note.startswith("pseudo-anomalies on augmented views of the one support image")
    itself = support_views(resized_pixels(support[0].path, PREPROCESSING), 4)[0]
    identity = digest_of_file(support[0].path)
    assert len(queries.samples) == 19 + DEFECTIVE
    for sample, image in zip(queries.samples, queries.inputs, strict=True):
        assert image.identity != identity
        if not sample.anomalous:
            assert (image.pixels() != itself).any()


def test_a_mask_is_where_the_defect_differs_from_its_view(support):
    queries = made(support[:2])
    views = support_views(resized_pixels(support[1].path, PREPROCESSING), 4)
    for sample, image in zip(queries.samples, queries.inputs, strict=True):
        mask = queries.mask(sample, size=32)
        number = int(sample.name.split("view ")[1].split()[0])
        differs = (image.pixels() != views[number]).any(axis=-1)
        assert not differs[~mask].any()
        assert mask.any() == sample.anomalous
        assert differs.any() == sample.anomalous


def test_the_same_seed_gives_the_same_queries_and_another_one_others(support):
    first, again, other = made(support[:2]), made(support[:2]), made(support[:2], seed=1)
    assert [image.identity for image in first.inputs] == [image.identity for image in again.inputs]
    for one, two in zip(first.inputs, again.inputs, strict=True):
        np.testing.assert_array_equal(one.pixels(), two.pixels())
    assert not {image.identity for image in first.inputs[20:]} & {image.identity for image in other.inputs[20:]}
    assert made(support[:2], preprocessing=dataclasses.replace(PREPROCESSING, size=48)).mask(
        first.samples[-1], size=16
    ).shape == (16, 16)
