"""Draw with matplotlib, return SVG that takes its colours and its font from the page around it."""

import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Colours that matplotlib writes and the page replaces, so that light and dark need one drawing.
INK = "#010101"
QUIET = "#020202"
GRID = "#030303"
SERIES = ("#040404", "#050505", "#060606", "#070707")
_VARIABLES = {INK: "--ink", QUIET: "--quiet", GRID: "--line"} | {
    colour: f"--s{place}" for place, colour in enumerate(SERIES, 1)
}
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a silo may be called $x^$
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": GRID,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def draw(name: str, size: tuple[float, float], alt: str, paint: Callable[[Figure], None]) -> str:
    """Return inline SVG with a text alternative.

    Args:
        name: unique on the page; prefixes every id of the drawing.
        size: width and height in inches.
        alt: what the drawing shows, for those who do not see it.
        paint: fills the empty figure.
    """
    with _style(name):
        figure = Figure(figsize=size)
        FigureCanvasSVG(figure)
        paint(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inline(buffer.getvalue(), name, alt)


@contextmanager
def _style(name: str) -> Iterator[None]:
    """Set the style for one drawing; a missing glyph is the browser's matter, not a warning."""
    style: Any = {**_STYLE, "svg.hashsalt": name}
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def _inline(text: str, name: str, alt: str) -> str:
    """Strip what only a file needs, make ids unique, take colours from the page."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'xlink:href="#', f'href="#{name}-', text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    label = alt.translate({ord("&"): "&amp;", ord('"'): "&quot;", ord("<"): "&lt;"})
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
