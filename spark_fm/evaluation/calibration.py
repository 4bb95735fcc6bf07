"""Calibration: whether of the rows with the probability p a part p has label 1."""

from pathlib import Path
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_fm.engine.cluster.execute import collect
from spark_fm.evaluation.auc import place

PRECISION = 1e-4


def calibration_curve(rows: DataFrame, bins: int) -> pd.DataFrame:
    """Bins of as many rows each, by the probability, of rows (p, y, w): see
    :meth:`spark_fm.evaluation.FMClassificationEvaluator.calibrationCurve`.

    A bin is cut at an approximate quantile (off by at most 1e-4 of the rows); rows of one probability are in one bin.
    """
    shares = [i / bins for i in range(1, bins)]
    edges = sorted(set(rows.approxQuantile("p", shares, PRECISION))) if shares else []
    p, y, w = F.col("p"), F.col("y"), F.col("w")
    found = collect(
        rows.groupBy(place(p, edges).alias("bin")).agg(
            F.sum(p * w).alias("p"),
            F.sum(y * w).alias("y"),
            F.count(F.lit(1)).alias("rows"),
            F.sum(w).alias("weight"),
            F.min(p).cast("double").alias("smallest"),
            F.max(p).cast("double").alias("largest"),
        )
    )
    found.sort(key=lambda row: int(row["bin"]))
    means = {"meanProbability": "p", "meanLabel": "y"}
    columns = {name: [row[of] / row["weight"] for row in found] for name, of in means.items()}
    columns |= {name: [row[name] for row in found] for name in ("rows", "weight", "smallest", "largest")}
    curve: pd.DataFrame = pd.DataFrame(columns)
    return curve


def expected_calibration_error(curve: pd.DataFrame) -> float:
    """sum_b W_b / W |meanLabel_b - meanProbability_b| over the bins b of a curve, with their weights W_b."""
    gaps = (curve["meanLabel"] - curve["meanProbability"]).abs()
    weights = curve["weight"] / curve["weight"].max()
    return float((gaps * weights).sum() / weights.sum())


def plotCalibration(curve: pd.DataFrame, path: str | Path) -> None:
    """Draw a calibration curve to an image file (needs matplotlib: the extra ``plots``).

    Points on the diagonal are calibrated; below it, probabilities are too large. A bar spans a bin's probabilities.

    Parameters
    ----------
    curve : what :meth:`spark_fm.evaluation.FMClassificationEvaluator.calibrationCurve` returns

    Raises
    ------
    ImportError
        When matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes: Any = figure.subplots()
    p, label = curve["meanProbability"], curve["meanLabel"]
    end = 1.05 * max(p.max(), label.max())
    axes.plot([0.0, end], [0.0, end], color="grey", linestyle=":", label="calibrated")
    spans = [p - curve["smallest"], curve["largest"] - p]
    error = expected_calibration_error(curve)
    axes.errorbar(p, label, xerr=spans, marker="o", markersize=4, elinewidth=0.6, label=f"ECE {error:.3g}")
    axes.set(
        xlim=(0.0, end), ylim=(0.0, end), xlabel="predicted probability", ylabel="part of label 1",
        title="Calibration",
    )  # fmt: skip
    axes.legend()
    figure.savefig(path, dpi=150)
