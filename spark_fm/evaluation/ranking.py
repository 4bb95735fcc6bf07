"""Metrics of scored rows, ranked by user."""

from typing import TypeVar

from pyspark import keyword_only
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasPredictionCol
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from spark_fm.base.converters import not_negative, one_of, whole
from spark_fm.engine.cluster.execute import collect, persist, unpersist
from spark_fm.engine.packing.columns import number_of
from spark_fm.evaluation.columns import count_if, is_missing, key_of, refuse, score_of
from spark_fm.evaluation.evaluator import FMEvaluator
from spark_fm.evaluation.ranking_metrics import METRICS, RankingMetrics, gain_of, ranking_metrics

E = TypeVar("E", bound="RankingEvaluator")


class RankingEvaluator(FMEvaluator, HasPredictionCol):
    """How well scores rank each user's rows, by ``metricName``: one of the numbers of :class:`RankingMetrics`.

    Rows have a user, a score (``predictionCol``: numbers, or vectors, of which the second entry counts; of a classifier
    take the probability, because its predictions are 0 and 1) and a label. A row is relevant where its label is above
    ``relevanceThreshold`` (0 unless set), and its gain in NDCG is its label. A user's rows are ranked by falling score.

    Of rows with equal scores those of smaller labels come first: a metric is the smallest that any order of the ties
    has, so that nothing is won by them. Rows whose score is null or NaN come last. Users without a relevant row are
    left out of the means; :meth:`metrics` counts them. Items without a row are not ranked: for places among all items
    see :func:`recommendationMetrics`.

    Examples
    --------
    >>> from spark_fm.evaluation import RankingEvaluator
    >>> rows = [("ann", 0.9, 0.0), ("ann", 0.5, 1.0), ("ann", 0.1, 1.0), ("bob", 0.4, 1.0), ("bob", 0.3, 0.0)]
    >>> scored = spark.createDataFrame(rows, ["user", "prediction", "label"])
    >>> evaluator = RankingEvaluator(metricName="meanReciprocalRank")
    >>> evaluator.evaluate(scored)
    0.75
    >>> round(evaluator.evaluate(scored, {evaluator.metricName: "ndcgAtK", evaluator.k: 2}), 3)
    0.693
    """

    metricName: Param[str] = Param(
        Params._dummy(), "metricName", f"one of: {', '.join(METRICS)}", one_of("metricName", METRICS)
    )
    k: Param[int] = Param(
        Params._dummy(), "k", "how many of the first ranks count in the metrics at k; >= 1", whole("k", 1)
    )
    userCol: Param[str] = Param(
        Params._dummy(), "userCol", "column of the users, whose rows are ranked", TypeConverters.toString
    )
    relevanceThreshold: Param[float] = Param(
        Params._dummy(),
        "relevanceThreshold",
        "a row is relevant where its label is above it; >= 0",
        not_negative("relevanceThreshold"),
    )

    @keyword_only
    def __init__(
        self,
        *,
        metricName: str = "ndcgAtK",
        userCol: str = "user",
        predictionCol: str = "prediction",
        labelCol: str = "label",
        k: int = 10,
        relevanceThreshold: float = 0.0,
    ) -> None:
        super().__init__()
        self._setDefault(metricName="ndcgAtK", userCol="user", k=10, relevanceThreshold=0.0)
        self._set(**self._input_kwargs)

    def isLargerBetter(self) -> bool:
        """Larger values are better of all metrics."""
        return True

    def _evaluate(self, dataset: DataFrame) -> float:
        return float(getattr(self.metrics(dataset), self.getMetricName()))

    def metrics(self, dataset: DataFrame) -> RankingMetrics:
        """All metrics of scored rows, computed together.

        Raises
        ------
        ValueError, TypeError
            When a column is missing or of another type, a user or a label is null, or no user has a relevant row.
        """
        score = score_of(dataset, self.getPredictionCol(), "predictionCol")
        rows = persist(
            dataset.select(
                key_of(dataset, self.getUserCol(), "userCol").alias("user"),
                F.when(~is_missing(score), score).alias("score"),
                number_of(dataset, self.getLabelCol(), "labelCol").alias("label"),
            )
        )
        try:
            self._check(rows)
            order = Window.partitionBy("user").orderBy(F.col("score").desc_nulls_last(), F.col("label").asc())
            gain = gain_of(F.col("label"), self.getRelevanceThreshold())
            ranked = rows.select("user", F.row_number().over(order).alias("rank"), gain.alias("gain"))
            return ranking_metrics(ranked, self.getK())
        finally:
            unpersist(rows)

    def _check(self, rows: DataFrame) -> None:
        counts = {
            "rows": F.count(F.lit(1)),
            "users": count_if(F.col("user").isNull()),
            "labels": count_if(is_missing(F.col("label"))),
        }
        found = collect(rows.agg(*(count.alias(name) for name, count in counts.items())))[0]
        if not found["rows"]:
            raise ValueError("dataset: there are no rows to measure on, expected some")
        refuse(found["users"], found["rows"], "userCol", self.getUserCol(), "null", "a user in each")
        refuse(
            found["labels"], found["rows"], "labelCol", self.getLabelCol(), "null or NaN", "a number in each"
        )

    def getUserCol(self) -> str:
        """Gets the value of userCol or its default value."""
        return self.getOrDefault(self.userCol)

    def setUserCol(self: E, value: str) -> E:
        """Sets the value of userCol."""
        return self._set(userCol=value)

    def getK(self) -> int:
        """Gets the value of k or its default value."""
        return self.getOrDefault(self.k)

    def setK(self: E, value: int) -> E:
        """Sets the value of k."""
        return self._set(k=value)

    def getRelevanceThreshold(self) -> float:
        """Gets the value of relevanceThreshold or its default value."""
        return self.getOrDefault(self.relevanceThreshold)

    def setRelevanceThreshold(self: E, value: float) -> E:
        """Sets the value of relevanceThreshold."""
        return self._set(relevanceThreshold=value)

    def setPredictionCol(self: E, value: str) -> E:
        """Sets the value of predictionCol."""
        return self._set(predictionCol=value)
