"""The two kinds of figure the experiments need: estimates with intervals, and curves with bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, SOFT, TRUE, PLACEBO = "#1b4965", "#8fb8d0", "#c1121f", "#9a9a9a"


def canvas(columns: int = 1, *, height: float = 3.6, width: float = 5.2) -> tuple[Figure, list[Axes]]:
    """A figure of panels side by side, made without a window system."""
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    axes = [figure.add_subplot(1, columns, k + 1) for k in range(columns)]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def intervals(
    ax: Axes,
    labels: Sequence[str],
    estimate: Sequence[float],
    lower: Sequence[float],
    upper: Sequence[float],
    *,
    truth: Sequence[float] | None = None,
    colours: Sequence[str] | None = None,
    zero: bool = True,
) -> None:
    """Estimates with intervals, one line each, the first on top; the truth, where known, as red crosses."""
    at = np.arange(len(labels))[::-1]
    for k, y in enumerate(at):
        colour = colours[k] if colours else INK
        ax.plot([lower[k], upper[k]], [y, y], color=colour, lw=1.6)
        ax.plot([estimate[k]], [y], "o", color=colour, ms=4.5)
    if truth is not None:
        ax.plot(truth, at, "x", color=TRUE, ms=6, mew=1.6, label="truth")
        ax.legend(frameon=False, fontsize=8)
    if zero:
        ax.axvline(0, color="#bbbbbb", lw=0.8, zorder=0)
    ax.set_yticks(at, list(labels), fontsize=8)
    ax.margins(y=0.08)


def curves(ax: Axes, x: Sequence[float], series: Mapping[str, Sequence[Sequence[float]]]) -> None:
    """Curves by name: (estimate, lower, upper), the band left out where there is only an estimate."""
    for k, (name, parts) in enumerate(series.items()):
        colour = (INK, "#e09f3e", "#5b8e7d", TRUE, PLACEBO)[k % 5]
        ax.plot(x, parts[0], color=colour, marker="o", ms=3, label=name)
        if len(parts) == 3:
            ax.fill_between(x, parts[1], parts[2], color=colour, alpha=0.15, lw=0)
    ax.axhline(0, color="#bbbbbb", lw=0.8, zorder=0)
    if len(series) > 1:
        ax.legend(frameon=False, fontsize=8)
