"""A font of the machine for names in other scripts in figures, and the names that no font here can draw."""

import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

HOUSE_FONT = "DejaVu Sans"
"""The font of every figure; it comes with matplotlib."""

PREFERRED = ("Noto Sans", "Source Han Sans", "WenQuanYi", "Microsoft YaHei", "PingFang", "Malgun", "Arial Unicode")
"""Name prefixes of sans-serif fonts with many letters: tried before others."""

INKLESS = frozenset({"Cc", "Cf", "Cn", "Cs", "Zs", "Zl", "Zp"})
"""Unicode categories of invisible characters: spaces, control characters, unassigned ones."""

NAMED = 3
"""Upper bound on the names that the sentence about boxes lists."""


def lacking_texts(figure: Figure) -> tuple[Text, ...]:
    """The texts of a drawn figure with letters that the house font lacks."""
    return tuple(text for text in figure.findobj(Text) if _lacking(text.get_text()))


def give_letters(texts: Iterable[Text]) -> tuple[str, ...]:
    """Set texts in fonts of this machine that have the missing letters; returns the words that no font can draw."""
    unreadable: list[str] = []
    for text in texts:
        families, left = fonts_for(_lacking(text.get_text()))
        text.set_fontfamily([HOUSE_FONT, *families])
        unreadable += [word for word in text.get_text().split() if not set(left).isdisjoint(word)]
    return tuple(dict.fromkeys(unreadable))


@contextmanager
def quiet_about_glyphs() -> Iterator[None]:
    """Stop matplotlib's warning for every letter that it cannot draw: ``boxes_text`` reports them once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def boxes_text(names: Iterable[str]) -> str:
    """One sentence on names that figures show as boxes; "" if there are none."""
    names = sorted(set(names))
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (
        f"figures show boxes in place of letters of {', '.join(names[:NAMED])}{more}: no font of this machine has "
        "them; install one (fonts-noto-cjk for Chinese, Japanese and Korean, fonts-noto for others), then run report "
        "again"
    )


@cache
def fonts_for(letters: str) -> tuple[tuple[str, ...], str]:
    """A small number of this machine's font families that together have the letters, and the letters that none has.

    They depend on the fonts alone, not on the order in which the machine lists them.
    """
    families: list[str] = []
    left = frozenset(letters)
    has = {entry.name: found for entry in _fonts() if (found := _letters_in(entry.fname, letters))}
    while has:
        # Most letters first; of fonts with equally many, the first in the order of the fonts.
        best = max(has, key=lambda name: len(has[name] & left))
        found = has.pop(best) & left
        if not found:
            break
        families.append(best)
        left -= found
    return tuple(families), "".join(sorted(left))


@cache
def _letters_in(path: str, letters: str) -> frozenset[str]:
    try:
        font = FT2Font(path)
    except (OSError, RuntimeError):
        # Fonts that matplotlib cannot open, or with pictures instead of letters.
        return frozenset()
    return frozenset(letter for letter in letters if font.get_char_index(ord(letter)))


@cache
def _fonts() -> tuple[FontEntry, ...]:
    """One upright font of regular weight of each family, preferred families first.

    Fonts that were installed after matplotlib made its list are added to it.
    """
    known = {entry.fname for entry in fontManager.ttflist}
    for path in sorted(set(font_manager.findSystemFonts()) - known):
        try:
            fontManager.addfont(path)
        except (OSError, RuntimeError, NotImplementedError):
            continue
    found: dict[str, FontEntry] = {}
    for entry in sorted(fontManager.ttflist, key=_order):
        if "last resort" not in entry.name.lower() and "lastresort" not in entry.name.lower():
            found.setdefault(entry.name, entry)
    return tuple(found.values())


def _order(entry: FontEntry) -> tuple[object, ...]:
    rank = next((place for place, name in enumerate(PREFERRED) if entry.name.startswith(name)), len(PREFERRED))
    weight = entry.weight if isinstance(entry.weight, int) else 400
    return (rank, entry.name, entry.style != "normal", abs(weight - 400), str(entry.stretch), entry.fname)


def _lacking(text: str) -> str:
    """The letters of a text that the house font lacks, in order, without invisible characters."""
    letters = "".join(sorted({sign for sign in text if unicodedata.category(sign) not in INKLESS}))
    if letters.isascii():
        return ""
    there = _letters_in(font_manager.findfont(HOUSE_FONT), letters)
    return "".join(letter for letter in letters if letter not in there)
