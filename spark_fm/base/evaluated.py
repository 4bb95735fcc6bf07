"""How good a model is on some rows, under the names of pyspark.ml's summaries.

Each metric is computed when it is first asked for, by pyspark.ml's evaluators, in a Spark job of its own.
"""

import math
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from pyspark.ml.evaluation import (
    BinaryClassificationEvaluator,
    MulticlassClassificationEvaluator,
    RegressionEvaluator,
)
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.packing.columns import quoted
from spark_fm.engine.scoring.thresholds import counts_by_threshold
from spark_fm.engine.scoring.weighting import scaled_weight

LABELS = [0.0, 1.0]


class _Summary:
    """Scored rows and the columns that matter."""

    def __init__(self, predictions: DataFrame, predictionCol: str, labelCol: str, weightCol: str) -> None:
        self._predictions = predictions
        self._columns: dict[str, Any] = {"predictionCol": predictionCol, "labelCol": labelCol}
        if weightCol:
            self._columns["weightCol"] = weightCol

    @property
    def predictions(self) -> DataFrame:
        """The rows with the columns that the model added."""
        return self._predictions

    @property
    def predictionCol(self) -> str:
        """Name of the column of the predictions."""
        return str(self._columns["predictionCol"])

    @property
    def labelCol(self) -> str:
        """Name of the column of the labels."""
        return str(self._columns["labelCol"])

    @property
    def weightCol(self) -> str:
        """Name of the column of the rows' weights; empty when all weigh the same."""
        return str(self._columns.get("weightCol", ""))

    @cached_property
    def _measured(self) -> DataFrame:
        """The rows, their weights at a size at which sums stay finite."""
        if not self.weightCol:
            return self._predictions
        weight = scaled_weight(self._predictions, self.weightCol, "weightCol")
        return self._predictions.withColumn(self.weightCol, weight)

    @cached_property
    def numInstances(self) -> int:
        """Number of rows."""
        return self._predictions.count()


class FMRegressionSummary(_Summary):
    """What :meth:`spark_fm.regression.FMRegressionModel.evaluate` finds; metrics are weighted where rows are.

    Examples
    --------
    >>> scored = spark.createDataFrame([(1.0, 1.5), (2.0, 2.0), (3.0, 2.5)], ["label", "prediction"])
    >>> summary = FMRegressionSummary(scored, "prediction", "label", "")
    >>> round(summary.meanAbsoluteError, 3), round(summary.r2, 3), summary.numInstances
    (0.333, 0.75, 3)
    """

    def _metric(self, name: Any) -> float:
        evaluator: Any = RegressionEvaluator(metricName=name, **self._columns)
        return float(evaluator.evaluate(self._measured))

    @cached_property
    def rootMeanSquaredError(self) -> float:
        """The root of the mean squared error."""
        return self._metric("rmse")

    @cached_property
    def meanSquaredError(self) -> float:
        """The mean of (label - prediction)^2."""
        return self._metric("mse")

    @cached_property
    def meanAbsoluteError(self) -> float:
        """The mean of abs(label - prediction)."""
        return self._metric("mae")

    @cached_property
    def r2(self) -> float:
        """1 - sum (label - prediction)^2 / sum (label - mean)^2."""
        if not self.weightCol:
            return self._metric("r2")
        # pyspark's takes the unbiased variance of weighted labels, which depends on the scale of the weights.
        label, weight = (F.col(quoted(name)).cast("double") for name in (self.labelCol, self.weightCol))
        mean = F.sum(weight * label) / F.sum(weight)
        centre = collect(self._measured.agg(mean.alias("m")))[0]["m"]
        spread = F.sum(weight * (label - centre) ** 2) / F.sum(weight)
        variance = collect(self._measured.agg(spread.alias("s")))[0]["s"]
        if not variance:
            return math.nan if self.meanSquaredError == 0.0 else -math.inf
        return float(1.0 - self.meanSquaredError / variance)

    @cached_property
    def explainedVariance(self) -> float:
        """The mean of (prediction - mean label)^2."""
        return self._metric("var")

    @property
    def residuals(self) -> DataFrame:
        """The column ``residuals``, label - prediction."""
        label, prediction = F.col(quoted(self.labelCol)), F.col(quoted(self.predictionCol))
        return self._predictions.select((label - prediction).alias("residuals"))


class FMClassificationSummary(_Summary):
    """What :meth:`spark_fm.classification.FMClassificationModel.evaluate` finds; metrics are weighted where rows are.

    Curves have a point for each probability that occurs, or for a thousand quantiles of them.

    Examples
    --------
    >>> from pyspark.ml.linalg import Vectors
    >>> rows = [(1.0, 1.0, Vectors.dense(0.2, 0.8)), (0.0, 0.0, Vectors.dense(0.9, 0.1)),
    ...         (1.0, 0.0, Vectors.dense(0.6, 0.4))]
    >>> scored = spark.createDataFrame(rows, ["label", "prediction", "probability"])
    >>> summary = FMClassificationSummary(scored, "probability", "prediction", "label", "")
    >>> round(summary.accuracy, 3), round(summary.logLoss, 3), round(summary.areaUnderROC, 3)
    (0.667, 0.415, 1.0)
    """

    def __init__(
        self, predictions: DataFrame, probabilityCol: str, predictionCol: str, labelCol: str, weightCol: str
    ) -> None:
        super().__init__(predictions, predictionCol, labelCol, weightCol)
        self._probability = probabilityCol

    def _metric(self, name: Any, **more: Any) -> float:
        evaluator: Any = MulticlassClassificationEvaluator(metricName=name, **self._columns, **more)
        return float(evaluator.evaluate(self._measured))

    def _by_label(self, name: str, **more: Any) -> list[float]:
        return [self._metric(name, metricLabel=label, **more) for label in LABELS]

    @property
    def probabilityCol(self) -> str:
        """Name of the column of the probabilities."""
        return self._probability

    @property
    def scoreCol(self) -> str:
        """The column by which rows are ordered: that of the probabilities."""
        return self._probability

    @property
    def labels(self) -> list[float]:
        """The labels in the order of the metrics by label: [0.0, 1.0]."""
        return list(LABELS)

    @cached_property
    def accuracy(self) -> float:
        """Part of the rows whose predicted label is their own."""
        return self._metric("accuracy")

    @cached_property
    def logLoss(self) -> float:
        """The mean of -log of the probability of the label."""
        return self._metric("logLoss", probabilityCol=self._probability)

    @cached_property
    def truePositiveRateByLabel(self) -> list[float]:
        """Part of the rows of a label that are predicted to have it."""
        return self._by_label("truePositiveRateByLabel")

    @cached_property
    def falsePositiveRateByLabel(self) -> list[float]:
        """Part of the rows of the other label that are predicted to have it."""
        return self._by_label("falsePositiveRateByLabel")

    @cached_property
    def precisionByLabel(self) -> list[float]:
        """Part of the rows predicted to have a label that do have it."""
        return self._by_label("precisionByLabel")

    @cached_property
    def recallByLabel(self) -> list[float]:
        """The same as :attr:`truePositiveRateByLabel`."""
        return self._by_label("recallByLabel")

    def fMeasureByLabel(self, beta: float = 1.0) -> list[float]:
        """(1 + beta^2) precision recall / (beta^2 precision + recall) by label."""
        return self._by_label("fMeasureByLabel", beta=beta)

    @cached_property
    def weightedTruePositiveRate(self) -> float:
        """:attr:`truePositiveRateByLabel`, the mean over the rows."""
        return self._metric("weightedTruePositiveRate")

    @cached_property
    def weightedFalsePositiveRate(self) -> float:
        """:attr:`falsePositiveRateByLabel`, the mean over the rows."""
        return self._metric("weightedFalsePositiveRate")

    @cached_property
    def weightedRecall(self) -> float:
        """:attr:`recallByLabel`, the mean over the rows."""
        return self._metric("weightedRecall")

    @cached_property
    def weightedPrecision(self) -> float:
        """:attr:`precisionByLabel`, the mean over the rows."""
        return self._metric("weightedPrecision")

    def weightedFMeasure(self, beta: float = 1.0) -> float:
        """:meth:`fMeasureByLabel`, the mean over the rows."""
        return self._metric("weightedFMeasure", beta=beta)

    def _positive(self) -> Column:
        return vector_to_array(F.col(quoted(self._probability)))[1]

    @cached_property
    def areaUnderROC(self) -> float:
        """Area under :attr:`roc`: how often a row of label 1 has a larger probability than one of label 0."""
        columns = {k: v for k, v in self._columns.items() if k != "predictionCol"}
        evaluator: Any = BinaryClassificationEvaluator(rawPredictionCol=self._probability, **columns)
        return float(evaluator.evaluate(self._measured))

    @cached_property
    def _curve(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Thresholds of the probability, descending, and the weights of the rows of label 1 and 0 at or above each.

        They are all probabilities that occur, or a thousand quantiles of them.
        """
        weight = F.col(quoted(self.weightCol)).cast("double") if self.weightCol else F.lit(1.0)
        rows = self._measured.select(
            self._positive().alias("p"),
            F.col(quoted(self.labelCol)).cast("double").alias("y"),
            weight.alias("w"),
        )
        return counts_by_threshold(rows)

    def _frame(self, columns: dict[str, npt.NDArray[np.float64]]) -> DataFrame:
        rows = [tuple(map(float, row)) for row in zip(*columns.values(), strict=True)]
        return self._predictions.sparkSession.createDataFrame(
            rows, ", ".join(f"`{name}` double" for name in columns)
        )

    @property
    def roc(self) -> DataFrame:
        """The columns FPR and TPR, from (0, 0) to (1, 1)."""
        _, positive, negative = self._curve
        return self._frame(
            {
                "FPR": np.concatenate([[0.0], negative / max(negative[-1], 1e-300)]),
                "TPR": np.concatenate([[0.0], positive / max(positive[-1], 1e-300)]),
            }
        )

    @property
    def pr(self) -> DataFrame:
        """The columns recall and precision, beginning with recall 0."""
        _, positive, negative = self._curve
        recall, precision = positive / max(positive[-1], 1e-300), positive / (positive + negative)
        return self._frame(
            {
                "recall": np.concatenate([[0.0], recall]),
                "precision": np.concatenate([precision[:1], precision]),
            }
        )

    @property
    def precisionByThreshold(self) -> DataFrame:
        """The columns threshold and precision, of rows whose probability is at least the threshold."""
        thresholds, positive, negative = self._curve
        return self._frame({"threshold": thresholds, "precision": positive / (positive + negative)})

    @property
    def recallByThreshold(self) -> DataFrame:
        """The columns threshold and recall."""
        thresholds, positive, _ = self._curve
        return self._frame({"threshold": thresholds, "recall": positive / max(positive[-1], 1e-300)})

    @property
    def fMeasureByThreshold(self) -> DataFrame:
        """The columns threshold and F-Measure, the harmonic mean of precision and recall."""
        thresholds, positive, negative = self._curve
        both = positive + negative + positive[-1]
        return self._frame({"threshold": thresholds, "F-Measure": 2.0 * positive / both})
