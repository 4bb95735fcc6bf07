"""Pictures of the demo, each as a data URI: the page needs no other file."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure

BLUE, RED, GREY, DARK = "#2a788e", "#d1495b", "#c9ced6", "#39424e"


class Plotting(Protocol):
    """What has a picture of itself."""

    def __call__(self, path: Path, /) -> object:
        """Draw to a file."""


def png_of(plot: Plotting) -> str:
    """The picture that a method of the package draws to a PNG file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        plot(path)
        return _uri("png", path.read_bytes())


def bars(rows: Sequence[tuple[str, float]], noise: float) -> str:
    """Errors of models as bars, the last in colour, and the noise that no model gets below as a line."""
    figure = Figure(figsize=(7.0, 0.8 + 0.45 * len(rows)), layout="constrained")
    axes: Any = figure.subplots()
    names, errors = [name for name, _ in rows], [error for _, error in rows]
    axes.barh(names, errors, color=[*[GREY] * (len(rows) - 1), BLUE], height=0.65)
    for place, error in enumerate(errors):
        axes.annotate(f"{error:.3f}", (error, place), (5, 0), textcoords="offset points", va="center")
    axes.axvline(noise, color=DARK, linestyle=":", linewidth=1.2)
    axes.annotate(
        "noise", (noise, 1.0), (0, 3), xycoords=("data", "axes fraction"), textcoords="offset points",
        ha="center", color=DARK, fontsize=8,
    )  # fmt: skip
    axes.invert_yaxis()
    axes.set(xlim=(0.0, 1.12 * max(errors)), xlabel="RMSE in stars, on the last tenth in time")
    return _svg(figure)


def two_matrices(
    made: npt.NDArray[np.float64], found: npt.NDArray[np.float64], rows: Sequence[str], columns: Sequence[str]
) -> str:
    """Two tables of numbers of one scale side by side: what the events were made of, and what the model found."""
    figure = Figure(figsize=(11.0, 0.9 + 0.3 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    most = max(np.abs(made).max(), np.abs(found).max())
    pictures = []
    for axes, table, title in ((left, made, "made"), (right, found, "found by the model")):
        pictures.append(axes.imshow(table, cmap="RdBu", vmin=-most, vmax=most, aspect="auto"))
        axes.set_xticks(
            range(len(columns)), columns, rotation=55, ha="right", rotation_mode="anchor", fontsize=8
        )
        axes.set_yticks(range(len(rows)), rows, fontsize=8)
        axes.set_title(title, fontsize=10)
    figure.colorbar(pictures[0], ax=[left, right], label="stars")
    return _svg(figure)


def tastes(made: Mapping[str, float], found: Mapping[str, float]) -> str:
    """What the model thinks of a user's taste as bars, and what it is as dots, the most liked genre first."""
    names = sorted(found, key=lambda name: -found[name])
    figure = Figure(figsize=(4.6, 0.7 + 0.24 * len(names)), layout="constrained")
    axes: Any = figure.subplots()
    parts = [found[name] for name in names]
    axes.barh(
        names, parts, color=[BLUE if part >= 0.0 else RED for part in parts], height=0.65, label="model"
    )
    axes.plot([made[name] for name in names], names, "D", color=DARK, markersize=4, label="truth")
    axes.axvline(0.0, color=DARK, linewidth=0.8)
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.tick_params(labelsize=8)
    axes.set_xlabel("stars", fontsize=8)
    return _svg(figure)


def _svg(figure: Figure) -> str:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    drawn = io.BytesIO()
    # Without a date, and with ids that don't change, the same model gives the same page.
    with rc_context({"svg.hashsalt": "spark_fm"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None}, transparent=True)
    return _uri("svg+xml", drawn.getvalue())


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
