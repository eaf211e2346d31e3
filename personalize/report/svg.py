"""Pictures as SVG text: colours come from the page's style sheet, so that dark, light and print all work."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup, escape

Ends = tuple[float, float]

SMALL = 500  # pixels; a picture that is no wider may shrink with a narrow window


def ticks(ends: Ends, most: int = 6) -> list[float]:
    """Round numbers between two ends.

    Examples
    --------
    >>> ticks((0, 10))
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    low, high = ends
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) + 0.0 for k in range(first, math.floor(high / step + 1e-9) + 1)]


def padded(values: Iterable[float], *, share: float = 0.06, include: Sequence[float] = ()) -> Ends:
    """Ends of an axis around values; NaN is ignored."""
    found = np.asarray([*values, *include], dtype=float)
    found = found[np.isfinite(found)]
    if not len(found):
        return 0.0, 1.0
    low, high = float(found.min()), float(found.max())
    pad = (high - low) * share or max(abs(high), 1.0) * share
    return low - pad, high + pad


class Plot:
    """A rectangle with two axes.

    Parameters
    ----------
    x, y : (float, float)
        Ends of the axes in data units.
    label : str
        What the picture shows, for readers who do not see it.
    xlabel, ylabel : str
    width, height, left, bottom : int
        Pixels of the drawing; it scales with the page.
    """

    def __init__(
        self,
        x: Ends,
        y: Ends,
        *,
        label: str,
        xlabel: str = "",
        ylabel: str = "",
        width: int = 680,
        height: int = 320,
        left: int = 58,
        bottom: int = 46,
    ) -> None:
        self.x, self.y, self.label, self.xlabel, self.ylabel = x, y, label, xlabel, ylabel
        self.width, self.height, self.left, self.bottom, self.right, self.top = width, height, left, bottom, 14, 12
        self.parts: list[str] = []

    def sx(self, value: float) -> float:
        """Place on the picture, from the left."""
        low, high = self.x
        return self.left + (value - low) / (high - low) * (self.width - self.left - self.right)

    def sy(self, value: float) -> float:
        """Place on the picture, from the top."""
        low, high = self.y
        return self.height - self.bottom - (value - low) / (high - low) * (self.height - self.bottom - self.top)

    def axes(self, *, x_ticks: Sequence[float] | None = None, y_ticks: Sequence[float] | None = None) -> Plot:
        """Draw grid lines, ticks and axis labels."""
        floor = self.height - self.bottom
        for value in ticks(self.y) if y_ticks is None else y_ticks:
            at = self.sy(value)
            self.parts.append(
                f'<line class="grid" x1="{self.left}" x2="{self.width - self.right}" y1="{at:.1f}" y2="{at:.1f}"/>'
            )
            self._text(self.left - 8, at + 4, f"{value:g}".replace("-", "−"), "tick end")
        for value in ticks(self.x, 8) if x_ticks is None else x_ticks:
            at = self.sx(value)
            self.parts.append(f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{floor}" y2="{floor + 5}"/>')
            self._text(at, floor + 19, f"{value:g}".replace("-", "−"), "tick mid")
        self.parts.append(
            f'<line class="axis" x1="{self.left}" x2="{self.width - self.right}" y1="{floor}" y2="{floor}"/>'
        )
        middle = (self.left + self.width - self.right) / 2
        self._text(middle, self.height - 6, self.xlabel, "name mid")
        if self.ylabel:
            at = (self.top + floor) / 2
            self.parts.append(
                f'<text class="name mid" transform="translate(13 {at:.1f}) rotate(-90)">{escape(self.ylabel)}</text>'
            )
        return self

    def line(self, xs: Iterable[float], ys: Iterable[float], kind: str = "line") -> Plot:
        """Draw a line; a missing value leaves a gap."""
        path, pen = [], "M"
        for x, y in zip(xs, ys, strict=True):
            if not (math.isfinite(x) and math.isfinite(y)):
                pen = "M"
                continue
            path.append(f"{pen}{self.sx(x):.1f} {self.sy(y):.1f}")
            pen = "L"
        if path:
            self.parts.append(f'<path class="{kind}" d="{"".join(path)}"/>')
        return self

    def band(self, xs: Sequence[float], lower: Sequence[float], upper: Sequence[float], kind: str = "band") -> Plot:
        """Fill between two lines."""
        rows = [row for row in zip(xs, lower, upper, strict=True) if all(math.isfinite(v) for v in row)]
        if rows:
            there = [f"{self.sx(x):.1f} {self.sy(low):.1f}" for x, low, _ in rows]
            back = [f"{self.sx(x):.1f} {self.sy(high):.1f}" for x, _, high in reversed(rows)]
            self.parts.append(f'<path class="{kind}" d="M{"L".join([*there, *back])}Z"/>')
        return self

    def segment(self, x1: float, y1: float, x2: float, y2: float, kind: str = "whisker") -> Plot:
        """Draw a straight line."""
        if all(math.isfinite(v) for v in (x1, y1, x2, y2)):
            ends = f'x1="{self.sx(x1):.1f}" y1="{self.sy(y1):.1f}" x2="{self.sx(x2):.1f}" y2="{self.sy(y2):.1f}"'
            self.parts.append(f'<line class="{kind}" {ends}/>')
        return self

    def dot(self, x: float, y: float, kind: str = "dot", *, title: str = "", radius: float = 4) -> Plot:
        """Draw a point."""
        if math.isfinite(x) and math.isfinite(y):
            said = f"<title>{escape(title)}</title>" if title else ""
            self.parts.append(
                f'<circle class="{kind}" cx="{self.sx(x):.1f}" cy="{self.sy(y):.1f}" r="{radius}">{said}</circle>'
            )
        return self

    def box(self, x1: float, x2: float, y1: float, y2: float, kind: str = "bar", *, title: str = "") -> Plot:
        """Draw a bar."""
        left, right = sorted((self.sx(x1), self.sx(x2)))
        top, floor = sorted((self.sy(y1), self.sy(y2)))
        said = f"<title>{escape(title)}</title>" if title else ""
        self.parts.append(
            f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 0.5):.1f}" '
            f'height="{max(floor - top, 0.5):.1f}">{said}</rect>'
        )
        return self

    def write(self, x: float, y: float, text: str, kind: str = "tick") -> Plot:
        """Write at a place in data units."""
        self._text(self.sx(x), self.sy(y), text, kind)
        return self

    def _text(self, x: float, y: float, text: str, kind: str) -> None:
        if text:
            self.parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>')

    def render(self) -> Markup:
        """Return the finished picture."""
        inside = "".join(self.parts)
        small = ' class="small"' if self.width < SMALL else ""
        return Markup(  # everything inside was escaped where it was written
            f'<svg viewBox="0 0 {self.width} {self.height}"{small} style="max-width:{self.width}px" role="img" '
            f'aria-label="{escape(self.label)}">{inside}</svg>'
        )
