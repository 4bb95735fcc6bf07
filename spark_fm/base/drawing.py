"""Pictures of explanations: a waterfall of one score, and a matrix of fields (the extra ``plots``)."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

UP, DOWN, WHOLE = "#2a788e", "#d1495b", "#8a8a8a"


def draw_waterfall(lines: list[tuple[str, float]], path: str | Path) -> None:
    """Draw what adds up to a score, each part from where the one before has ended.

    Parameters
    ----------
    lines : label and contribution, the intercept first
    """
    from matplotlib.figure import Figure

    labels, parts = [label for label, _ in lines], np.array([part for _, part in lines])
    ends = np.cumsum(parts)
    figure = Figure(figsize=(8, 1.4 + 0.34 * (parts.size + 1)), layout="constrained")
    axes: Any = figure.subplots()
    # The intercept and the score are where the way begins and ends: their distance from 0 would dwarf the parts.
    axes.plot([ends[0], ends[-1]], [0, parts.size], linestyle="", marker="D", color=WHOLE)
    colours = [UP if part >= 0.0 else DOWN for part in parts[1:]]
    axes.barh(range(1, parts.size), parts[1:], left=ends[:-1], color=colours, height=0.7)
    right = [ends[0], *np.maximum(ends[1:], ends[:-1]), ends[-1]]
    for row, (end, number) in enumerate(zip(right, [*parts, ends[-1]], strict=True)):
        axes.annotate(f"{number:+.3g}", (end, row), (6, 0), textcoords="offset points", va="center")
    axes.vlines(ends, np.arange(parts.size) + 0.35, np.arange(parts.size) + 0.65, color=WHOLE, linewidth=0.8)
    axes.set_yticks(range(parts.size + 1), [*labels, "score"])
    axes.invert_yaxis()
    axes.use_sticky_edges = False
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(title="What the score is made of")
    figure.savefig(path, dpi=150)


def draw_matrix(matrix: pd.DataFrame, path: str | Path) -> None:
    """Draw a square table of numbers >= 0 with the names of its rows and columns; with the numbers where they fit."""
    from matplotlib.figure import Figure

    size = len(matrix)
    side = min(2.5 + 0.7 * size, 14.0)
    figure = Figure(figsize=(side + 1.0, side), layout="constrained")
    axes: Any = figure.subplots()
    numbers = matrix.to_numpy()
    picture = axes.imshow(numbers, cmap="viridis", vmin=0.0)
    axes.set_xticks(range(size), matrix.columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), matrix.index)
    if size <= 15:
        for (row, column), number in np.ndenumerate(numbers):
            dark = number < 0.6 * numbers.max()
            axes.text(
                column, row, f"{number:.2g}", ha="center", va="center", color="white" if dark else "black"
            )
    figure.colorbar(picture, ax=axes, label="standard deviation of the part of the score")
    axes.set(title="Fields alone (diagonal) and together")
    figure.savefig(path, dpi=150)
