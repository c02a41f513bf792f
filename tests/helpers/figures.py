"""What stands in a figure."""

from matplotlib.figure import Figure
from matplotlib.text import Text


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]
