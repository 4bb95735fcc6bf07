"""How good predictions are."""

from typing import Any

from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_fm.engine.cluster.execute import persist, unpersist
from spark_fm.engine.packing.columns import field_of, quoted
from spark_fm.engine.scoring.weighting import scaled_weight

Metrics = dict[str, float | int | None]
SMALLEST = 1e-15  # probabilities 0 and 1 would make the log-loss infinite


def positive_probability(model: Any) -> Column:
    """A classifier's P(label = 1), out of the vector in its probability column."""
    return vector_to_array(F.col(quoted(model.getProbabilityCol())))[1]


def predicted(model: Any) -> Column:
    """The numbers that metrics are about: predictions, or for a classifier P(label = 1)."""
    if hasattr(model, "getProbabilityCol"):
        return positive_probability(model)
    return F.col(quoted(model.getPredictionCol()))


def measure(scored: DataFrame, prediction: Column, label: str, weight: str, task: str) -> Metrics:
    """Metrics of scored rows, by name.

    Parameters
    ----------
    prediction : predicted values; for classification the probability of label 1
    weight : name of the column of row weights, empty when all weigh the same

    Returns
    -------
    rows, and for regression ``rmse`` and ``mae``; for classification ``logLoss``, ``auc`` (area under the ROC
    curve; None when the labels are all the same) and ``calibration``, the sum of the predictions over the sum of
    the labels (None when no label is 1).

    Raises
    ------
    ValueError
        When there are no rows, a label is null, or a classification label is not 0 or 1.
    """
    field_of(scored, label, "columns.label")
    weights = scaled_weight(scored, weight, "columns.weight") if weight else F.lit(1.0)
    rows = persist(
        scored.select(
            prediction.cast("double").alias("p"),
            F.col(quoted(label)).cast("double").alias("y"),
            weights.alias("w"),
        )
    )
    try:
        return _classification(rows, label) if task == "classification" else _regression(rows, label)
    finally:
        unpersist(rows)


def _regression(rows: DataFrame, label: str) -> Metrics:
    error = F.col("p") - F.col("y")
    sums = _sums(rows, label, squared=error * error, absolute=F.abs(error))
    return {
        "rows": sums["rows"],
        "rmse": (sums["squared"] / sums["w"]) ** 0.5,
        "mae": sums["absolute"] / sums["w"],
    }


def _classification(rows: DataFrame, label: str) -> Metrics:
    p = F.greatest(F.least(F.col("p"), F.lit(1.0 - SMALLEST)), F.lit(SMALLEST))
    y = F.col("y")
    sums = _sums(
        rows,
        label,
        loss=-F.when(y > 0.5, F.log(p)).otherwise(F.log(1.0 - p)),
        p=F.col("p"),
        y=y,
        other=F.when(y.isin(0.0, 1.0), 0.0).otherwise(1.0),
    )
    if sums["other"]:
        raise ValueError(
            f"columns.label: column {label!r} has labels that are not 0 or 1, expected only these; "
            "columns.positive names the one that counts as 1"
        )
    evaluator = BinaryClassificationEvaluator(rawPredictionCol="p", labelCol="y", weightCol="w")
    return {
        "rows": sums["rows"],
        "logLoss": sums["loss"] / sums["w"],
        "auc": evaluator.evaluate(rows) if 0.0 < sums["y"] < sums["w"] else None,
        "calibration": sums["p"] / sums["y"] if sums["y"] else None,
    }


def _sums(rows: DataFrame, label: str, **terms: Column) -> dict[str, Any]:
    """Number of rows, sum of weights, and weighted sums of terms, in one pass."""
    weighted = [F.sum(F.col("w") * term).alias(name) for name, term in terms.items()]
    counted = [F.count(F.lit(1)).alias("rows"), F.count("y").alias("labels"), F.sum("w").alias("w")]
    sums = rows.agg(*counted, *weighted).first()
    assert sums is not None
    if not sums["rows"]:
        raise ValueError("input: there are no rows to measure on, expected at least one")
    if sums["labels"] < sums["rows"]:
        missing = sums["rows"] - sums["labels"]
        raise ValueError(f"columns.label: column {label!r} is null in {missing} rows, expected a number")
    if not sums["w"]:
        raise ValueError("columns.weight: the weights of all rows are 0 or null, expected a positive weight")
    return sums.asDict()
