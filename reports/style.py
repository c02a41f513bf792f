"""One style for all figures, and their files: equal figures give equal bytes."""

import io
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from reports.lettering import HOUSE_FONT, give_letters, lacking_texts, quiet_about_glyphs
from reports.statistics import MARGIN, Claim

# Okabe and Ito's colours, told apart with every common colour vision deficiency; the marker says the same in shape.
COLOURS: Mapping[Claim, str] = {
    "higher": "#0072B2",
    "lower": "#D55E00",
    "no effect": "#009E73",
    "open": "#6B6B6B",
    "no interval": "#6B6B6B",
}
CLAIM_KEY: Mapping[Claim, str] = {
    "higher": "higher after Holm",
    "lower": "lower after Holm",
    "no effect": f"no effect (±{100 * MARGIN:g}) after Holm",
    "open": "open after Holm",
    "no interval": "mean, no interval",
}
"""Meaning of a difference's colour and marker."""
BAND = "#e9edf1"
"""Colour of the margin around no difference, and of grid lines."""
TILE, TILE_EDGE = "#f3f4f6", "#b6bcc4"
"""Colours of a tile that shows no value, and of its edge and hatching."""
SEQUENTIAL = "cividis"
"""Name of the colour map of scores and other amounts; ``_r`` behind it turns it around."""
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS: Mapping[Claim, str] = {"higher": "^", "lower": "v", "no effect": "s", "open": "o", "no interval": "X"}
INK, FAINT, RULE = "#1b1f24", "#57606a", "#d0d7de"
STYLE: dict[str, object] = {
    "svg.hashsalt": "promptad-study",
    "svg.fonttype": "path",
    "font.family": HOUSE_FONT,
    "font.size": 11,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": INK,
    "hatch.linewidth": 0.6,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw with matplotlib's own defaults plus STYLE, whatever the caller's settings are."""
    with mpl.rc_context(), quiet_about_glyphs():
        mpl.rcdefaults()
        mpl.rcParams.update(cast("Any", STYLE))
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure with its file name's stem, a description in words, and its numbers.

    A page shows `photographs` as PNG, drawings as SVG.
    """

    stem: str
    alt: str
    figure: Figure
    data: tuple[Mapping[str, str], ...]
    wide: bool = False
    photographs: bool = False


def settle(figure: Figure) -> tuple[str, ...]:
    """Lay the figure out once, so that every format has the same layout and is drawn faster.

    Texts in other scripts get suitable fonts. Returns the texts with letters that no font here has.
    """
    with house_style():
        FigureCanvasAgg(figure)
        figure.draw_without_rendering()
        boxes: tuple[str, ...] = ()
        if lacking := lacking_texts(figure):
            boxes = give_letters(lacking)
            figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return boxes


def pdf(figure: Figure) -> bytes:
    """The figure as PDF without dates and program names: equal figures give equal bytes."""
    buffer = io.BytesIO()
    with house_style(), _kept_resolution(figure):
        canvas: Any = FigureCanvasPdf(figure)
        canvas.print_pdf(buffer, metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """The figure as SVG with neither a date nor random identifiers: equal figures give equal bytes."""
    buffer = io.BytesIO()
    style = {"svg.hashsalt": STYLE["svg.hashsalt"], "svg.fonttype": "path"}
    with mpl.rc_context(cast("Any", style)), quiet_about_glyphs(), _kept_resolution(figure):
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    return _with_counted_names(buffer.getvalue())


@contextmanager
def _kept_resolution(figure: Figure) -> Iterator[None]:
    """Give a figure its dots per inch back: vector formats set their own. ``savefig`` would, but draws twice."""
    before = figure.dpi
    try:
        yield
    finally:
        figure.dpi = before


def _with_counted_names(drawing: bytes) -> bytes:
    """The same SVG with its parts named by their order; matplotlib names clip paths by their address in memory."""
    names: dict[bytes, bytes] = {}
    for name in re.findall(rb'id="([a-z][0-9a-f]{10})"', drawing):
        names.setdefault(name, b"%c%d" % (name[:1], len(names)))
    return re.sub(rb"(?<=[\"#])[a-z][0-9a-f]{10}\b", lambda found: names.get(found[0], found[0]), drawing)


def png(figure: Figure) -> bytes:
    """The figure as PNG of at most 256 colours, without metadata: equal figures give equal bytes.

    A figure drawn before has a settled layout and may differ by a pixel from a fresh one: draw each figure once.
    """
    canvas: Any = FigureCanvasAgg(figure)
    with quiet_about_glyphs():
        canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    buffer = io.BytesIO()
    # 256 colours take a third of the bytes. The usual palette (median cut, no dithering) has none for what is rare in a
    # panel of photographs: it makes a pink stain white, and steps where a map has none.
    image = Image.fromarray(np.ascontiguousarray(pixels))
    palette = image.quantize(256, method=Image.Quantize.MAXCOVERAGE)
    image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def wrapped(text: str, width: int = 22) -> str:
    """A label broken into lines of at most `width` characters."""
    return textwrap.fill(text, width, break_long_words=False) or text


def clean(axes: Axes, title: str) -> None:
    """A left-aligned title and quiet spines."""
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold")
    axes.tick_params(length=0)


def claim_handles(claims: Iterable[Claim]) -> list[Line2D]:
    """Entries of a key for the claims that are drawn, each with its colour, marker and words, and for intervals."""
    drawn = set(claims)
    interval = Line2D([], [], color=FAINT, linewidth=2.4, label="95% interval, unadjusted")
    return [
        Line2D(
            [],
            [],
            color=COLOURS[name],
            marker=MARKERS[name],
            linewidth=0 if name == "no interval" else 2.4,
            markersize=8,
            label=words,
        )
        for name, words in CLAIM_KEY.items()
        if name in drawn
    ] + ([interval] if drawn - {"no interval"} else [])


def six(value: float | None) -> str:
    """A number of a figure's data file: six decimals, "NA" where there is none."""
    return "NA" if value is None else f"{value:.6f}"


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """Lowest and highest of some values; (0, 1) if there are none."""
    return (min(values), max(values)) if values else (0.0, 1.0)
