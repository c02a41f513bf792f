"""What stands in a figure."""

from matplotlib.text import Text


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text)]
