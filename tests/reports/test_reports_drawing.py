"""Figures as files: equal figures give equal bytes."""

import io
import re

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from reports.style import png, svg


def clipped():
    """A line behind a round window: matplotlib names the window by its address in memory."""
    figure = Figure(figsize=(1, 1))
    axes = figure.subplots()
    [line] = axes.plot([0, 1], [0, 1])
    line.set_clip_path(Circle((0.5, 0.5), 0.2, transform=axes.transData))
    return figure


def test_equal_figures_with_clip_paths_are_equal_files_whose_references_lead_somewhere():
    figures = [clipped(), clipped()]
    first, second = (svg(figure).decode() for figure in figures)
    assert first == second
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', first))
    assert used
    assert used <= set(re.findall(r'id="([^"]+)"', first))


def test_a_png_keeps_a_colour_that_is_rare_in_its_picture():
    # A small pink stain on a picture of thousands of greys and browns, as in a panel of photographs.
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, size=(100, 100, 1)) - rng.integers(0, 60, size=(100, 100, 3))
    pixels[48:52, 48:52] = stain = np.array([255, 90, 230])
    figure = Figure(figsize=(3, 3), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.imshow(pixels.clip(0, 255).astype(np.uint8), interpolation="nearest")
    drawn = np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB")).astype(int)
    assert np.abs(drawn[146:154, 146:154].mean(axis=(0, 1)) - stain).max() < 20
