"""Turned copies: quarter turns to the pixel, other angles against a slow bilinear-free rule, and their errors."""

import numpy as np
import pytest
from helpers.small_models import pixels

from promptad.images.rotation import rotated_copies


def test_quarter_turns_move_pixels_and_change_none():
    image = pixels(3)
    found = rotated_copies(image, 4)
    for number, copy in enumerate(found):
        # Both turn counter-clockwise.
        np.testing.assert_array_equal(copy, np.rot90(image, number))


def test_copies_are_spread_over_the_circle_in_order():
    image = pixels(3)
    eight, four = rotated_copies(image, 8), rotated_copies(image, 4)
    for place in range(4):
        np.testing.assert_array_equal(eight[2 * place], four[place])
    # An eighth of a turn and then a quarter are three eighths.
    np.testing.assert_allclose(np.rot90(eight[1]), eight[3], atol=3)
    assert np.abs(eight[1].astype(int) - image).mean() > 5


def test_a_bright_pixel_turns_counter_clockwise_about_the_centre():
    image = np.zeros((41, 41, 3), dtype=np.uint8)
    image[19:22, 27:30] = 255
    turned = rotated_copies(image, 8)[1][..., 0].astype(float)
    rows, columns = np.mgrid[:41, :41]
    centre = ((rows * turned).sum() / turned.sum(), (columns * turned).sum() / turned.sum())
    # 8 right of the centre; at 45 degrees 8 / sqrt(2) right of it and as much above.
    assert centre == pytest.approx((20 - 8 / 2**0.5, 20 + 8 / 2**0.5), abs=0.1)


def test_corners_are_the_image_reflected():
    image = np.full((30, 30, 3), 7, dtype=np.uint8)
    for copy in rotated_copies(image, 16):
        assert (copy == 7).all()
    # Stripes that touch the border at the right come back mirrored.
    image[:, 25:] = 200
    copy = rotated_copies(image, 8)[1]
    assert set(np.unique(copy[0])) - {7}


def test_the_smallest_images_and_one_copy():
    image = pixels(1, 4)
    assert [copy.shape for copy in rotated_copies(image, 3)] == [(4, 4, 3)] * 3
    np.testing.assert_array_equal(rotated_copies(image, 1)[0], image)


@pytest.mark.parametrize(
    ("image", "copies", "message"),
    [
        (np.zeros((4, 5, 3), dtype=np.uint8), 2, r"pixels must be uint8 of shape \(side, side, 3\), but got uint8"),
        (np.zeros((4, 4, 3)), 2, "but got float64"),
        (np.zeros((4, 4, 3), dtype=np.uint8), 0, "copies must be at least 1, but got 0"),
    ],
)
def test_pixels_and_copies_out_of_their_domain(image, copies, message):
    with pytest.raises(ValueError, match=message):
        rotated_copies(image, copies)
