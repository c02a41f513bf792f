"""Support images in several poses."""

import numpy as np
import pytest
from helpers.small_models import image_files

from promptad.datasets.content import digest_of_file
from promptad.features import support_poses
from promptad.features.support_poses import VIEWS, view_inputs
from promptad.images.preparation import Preprocessing, resized_pixels, support_views

PREPROCESSING = Preprocessing(size=32)


@pytest.fixture
def paths(tmp_path):
    return image_files(tmp_path, [1, 2])


def test_twenty_views_of_each_image_in_order(paths):
    inputs = view_inputs(paths, PREPROCESSING, shift=4)
    assert len(inputs) == 2 * VIEWS == 40
    for number, path in enumerate(paths):
        expected = support_views(resized_pixels(path, PREPROCESSING), 4)
        for view in range(VIEWS):
            np.testing.assert_array_equal(inputs[number * VIEWS + view].pixels(), expected[view])


def test_first_view_is_the_image_itself_under_its_own_name(paths):
    first = view_inputs(paths, PREPROCESSING, shift=4)[0]
    np.testing.assert_array_equal(first.pixels(), resized_pixels(paths[0], PREPROCESSING))
    assert first.identity == digest_of_file(paths[0])


def test_identities_are_unique_and_name_the_shift(paths):
    four = [image.identity for image in view_inputs(paths, PREPROCESSING, shift=4)]
    five = [image.identity for image in view_inputs(paths, PREPROCESSING, shift=5)]
    assert len(set(four)) == 40
    # Only the two images themselves are the same pixels whatever the shift is.
    assert set(four) & set(five) == {digest_of_file(path) for path in paths}


def test_views_are_made_once_and_only_when_asked_for(paths, monkeypatch):
    decoded = []

    def counting(path, preprocessing, *, content):
        decoded.append(path)
        return resized_pixels(path, preprocessing, content=content)

    monkeypatch.setattr(support_poses, "resized_pixels", counting)
    inputs = view_inputs(paths, PREPROCESSING, shift=4)
    assert decoded == []
    for image in inputs[:VIEWS]:
        image.pixels()
    assert decoded == [paths[0]]
