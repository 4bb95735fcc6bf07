"""Metrics of probabilities and scores of two classes."""

from typing import Any, TypeVar

import pandas as pd
from pyspark import keyword_only
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasProbabilityCol, HasWeightCol
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_fm.base.converters import one_of, whole
from spark_fm.engine.cluster.execute import collect, persist, unpersist
from spark_fm.engine.packing.columns import number_of
from spark_fm.engine.scoring.weighting import weight_unit
from spark_fm.evaluation.auc import area_under_roc, group_auc
from spark_fm.evaluation.calibration import calibration_curve, expected_calibration_error
from spark_fm.evaluation.columns import count_if, is_missing, key_of, refuse, score_of
from spark_fm.evaluation.evaluator import FMEvaluator

METRICS = ("logLoss", "areaUnderROC", "groupAUC", "expectedCalibrationError")
LARGER_IS_BETTER = ("areaUnderROC", "groupAUC")
SMALLEST = 1e-15  # probabilities 0 and 1 would make the log-loss infinite
E = TypeVar("E", bound="FMClassificationEvaluator")


class FMClassificationEvaluator(FMEvaluator, HasProbabilityCol, HasWeightCol):
    """Metrics of predictions of two classes, labels 0 and 1, by ``metricName``.

    ========================  ====================================================================================
    logLoss                   mean of -log p where the label is 1 and -log(1 - p) where it is 0; p in [1e-15, 1 - 1e-15]
    areaUnderROC              chance that a row of label 1 has a larger score than one of label 0, ties half; exact
    groupAUC                  areaUnderROC within each group of ``groupCol``, the mean weighted by the groups' rows
                              (GAUC of G. Zhou et al., Deep Interest Network, KDD 2018); groups of one label left out
    expectedCalibrationError  sum_b W_b / W abs(mean label - mean p in b), over ``numBins`` bins b of as many rows
                              each, by p (K. Nguyen and B. O'Connor, EMNLP 2015)
    ========================  ====================================================================================

    All are weighted by ``weightCol`` where it is set; rows of weight 0 are as if absent, and only ratios of weights
    count, however large or small they are. ``probabilityCol`` holds
    vectors, of which the second entry counts, or numbers. Larger is better of the two AUCs, and smaller of the others.
    Rows whose label is not 0 or 1, or that have no score, are refused with a ValueError, and so are data on which a
    metric is not defined.

    Examples
    --------
    >>> from spark_fm.evaluation import FMClassificationEvaluator
    >>> rows = [("ann", 0.8, 1.0), ("ann", 0.3, 0.0), ("bob", 0.1, 1.0), ("bob", 0.2, 0.0), ("bob", 0.05, 0.0)]
    >>> scored = spark.createDataFrame(rows, ["user", "probability", "label"])
    >>> evaluator = FMClassificationEvaluator(metricName="areaUnderROC")
    >>> round(evaluator.evaluate(scored), 3)
    0.667
    >>> by_user = {evaluator.metricName: "groupAUC", evaluator.groupCol: "user"}
    >>> round(evaluator.evaluate(scored, by_user), 3)  # 2/5 of 1.0 and 3/5 of 0.5
    0.7
    >>> evaluator.isLargerBetter()
    True
    """

    metricName: Param[str] = Param(
        Params._dummy(), "metricName", f"one of: {', '.join(METRICS)}", one_of("metricName", METRICS)
    )
    groupCol: Param[str] = Param(
        Params._dummy(), "groupCol", "column of the groups of groupAUC", TypeConverters.toString
    )
    numBins: Param[int] = Param(
        Params._dummy(), "numBins", "bins of the calibration curve; >= 1", whole("numBins", 1)
    )

    @keyword_only
    def __init__(
        self,
        *,
        metricName: str = "logLoss",
        probabilityCol: str = "probability",
        labelCol: str = "label",
        weightCol: str | None = None,
        groupCol: str | None = None,
        numBins: int = 10,
    ) -> None:
        super().__init__()
        self._setDefault(metricName="logLoss", numBins=10)
        self._set(**self._input_kwargs)

    def isLargerBetter(self) -> bool:
        """Whether larger values of the metric are better: of the AUCs, yes."""
        return self.getMetricName() in LARGER_IS_BETTER

    def _evaluate(self, dataset: DataFrame) -> float:
        metric = self.getMetricName()
        if metric == "logLoss":
            found = self._sums(self._rows(dataset, self._unit(dataset)), probabilities=True)
            return float(found["loss"] / found["weight"])
        if metric == "expectedCalibrationError":
            return expected_calibration_error(self.calibrationCurve(dataset))
        rows = persist(self._rows(dataset, self._unit(dataset)))
        try:
            found = self._sums(rows, probabilities=False)
            if not 0.0 < found["positive"] < found["weight"]:
                raise ValueError(
                    f"labelCol: column {self.getLabelCol()!r} has one label only, expected rows of label 0 and of 1 "
                    f"for {metric}"
                )
            if metric == "areaUnderROC":
                return area_under_roc(rows.where("w > 0"))
            area = group_auc(rows.where("w > 0"))
        finally:
            unpersist(rows)
        if area is None:
            raise ValueError(
                f"groupCol: no group of column {self.getGroupCol()!r} has both labels, expected some for groupAUC"
            )
        return area

    def calibrationCurve(self, dataset: DataFrame) -> pd.DataFrame:
        """The calibration curve: ``numBins`` bins of as many rows each, in the order of the probability.

        Bins are fewer where probabilities occur often: rows of the same one are in one bin.

        Returns
        -------
        meanProbability, meanLabel : (weighted) means over the rows of a bin; equal where they are calibrated
        rows, weight : how many rows, and the sum of their weights
        smallest, largest : the probabilities in the bin
        """
        unit = self._unit(dataset)
        rows = persist(self._rows(dataset, unit))
        try:
            self._sums(rows, probabilities=True)
            curve = calibration_curve(rows.where("w > 0"), self.getNumBins())
            curve["weight"] *= unit
            return curve
        finally:
            unpersist(rows)

    def _unit(self, dataset: DataFrame) -> float:
        """In what weights are counted, so that their sums stay finite."""
        name = self.getWeightCol()
        return weight_unit(dataset, name, "weightCol") if name else 1.0

    def _rows(self, dataset: DataFrame, unit: float) -> DataFrame:
        """The columns p, y and w, in units of weight, and g for groupAUC."""
        weight = F.lit(1.0)
        if self.getWeightCol():
            weight = number_of(dataset, self.getWeightCol(), "weightCol") / unit
        columns = [
            score_of(dataset, self.getProbabilityCol(), "probabilityCol").alias("p"),
            number_of(dataset, self.getLabelCol(), "labelCol").alias("y"),
            weight.alias("w"),
        ]
        if self.getMetricName() == "groupAUC":
            if not self.getGroupCol():
                raise ValueError("groupCol: not set, expected the column of the groups of groupAUC")
            columns.append(key_of(dataset, self.getGroupCol(), "groupCol").alias("g"))
        return dataset.select(*columns)

    def _sums(self, rows: DataFrame, probabilities: bool) -> dict[str, Any]:
        """Sums over the rows, which are checked in the same pass."""
        p, y, w = F.col("p"), F.col("y"), F.col("w")
        inside = F.greatest(F.least(p, F.lit(1.0 - SMALLEST)), F.lit(SMALLEST))
        loss = -F.when(y > 0.5, F.log(inside)).otherwise(F.log(1.0 - inside))
        terms = {
            "rows": F.count(F.lit(1)),
            "labels": count_if(~F.coalesce(y.isin(0.0, 1.0), F.lit(False))),
            "unscored": count_if(is_missing(p)),
            "outside": count_if(~p.between(0.0, 1.0)),
            "weights": count_if(is_missing(w) | (w < 0.0) | (w == float("inf"))),
            "ungrouped": count_if(F.col("g").isNull()) if "g" in rows.columns else F.lit(0),
            "weight": F.sum(w),
            "positive": F.sum(w * y),
            "loss": F.sum(w * loss),
        }
        found = collect(rows.agg(*(term.alias(name) for name, term in terms.items())))[0]
        count, probability = found["rows"], self.getProbabilityCol()
        if not count:
            raise ValueError("dataset: there are no rows to measure on, expected some")
        refuse(found["labels"], count, "labelCol", self.getLabelCol(), "not 0 or 1", "only these")
        refuse(found["unscored"], count, "probabilityCol", probability, "null or NaN", "a score in each")
        if probabilities:
            refuse(found["outside"], count, "probabilityCol", probability, "outside [0, 1]", "probabilities")
        refuse(
            found["weights"],
            count,
            "weightCol",
            self.getWeightCol(),
            "negative or none",
            "a finite number >= 0",
        )
        refuse(found["ungrouped"], count, "groupCol", self.getGroupCol(), "null", "a group in each")
        if not found["weight"]:
            raise ValueError(
                f"weightCol: column {self.getWeightCol()!r} is 0 in all rows, expected some above 0"
            )
        return found

    def getGroupCol(self) -> str:
        """Gets the column of the groups; empty where it is not set."""
        return self._optional(self.groupCol)

    def setGroupCol(self: E, value: str) -> E:
        """Sets the value of groupCol."""
        return self._set(groupCol=value)

    def getNumBins(self) -> int:
        """Gets the value of numBins or its default value."""
        return self.getOrDefault(self.numBins)

    def setNumBins(self: E, value: int) -> E:
        """Sets the value of numBins."""
        return self._set(numBins=value)

    def setProbabilityCol(self: E, value: str) -> E:
        """Sets the value of probabilityCol."""
        return self._set(probabilityCol=value)

    def getWeightCol(self) -> str:
        """Gets the column of the rows' weights; empty where it is not set."""
        return self._optional(self.weightCol)

    def setWeightCol(self: E, value: str) -> E:
        """Sets the value of weightCol."""
        return self._set(weightCol=value)
