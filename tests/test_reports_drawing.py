"""Figures as files: equal figures give equal bytes."""

import re

from matplotlib.figure import Figure
from matplotlib.patches import Circle

from reports.drawing import svg


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
