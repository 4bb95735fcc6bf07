"""Metrics of ranked items, by user, from the ranks of the relevant ones."""

from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_fm.engine.cluster.execute import collect

METRICS = (
    "ndcgAtK",
    "precisionAtK",
    "recallAtK",
    "meanAveragePrecision",
    "meanAveragePrecisionAtK",
    "meanReciprocalRank",
)


@dataclass(frozen=True)
class RankingMetrics:
    """How good rankings are: the means over the users who have a relevant item.

    With the ranks r = 1, 2, .. of a user's items, hit(r) = 1 where the item at rank r is relevant and 0 where not, its
    gain g(r) (the label of a relevant item, 0 of others), n relevant items, hits(r) of them up to rank r:

    =======================  ====================================================================
    ndcgAtK                  sum_{r<=k} g(r) / log2(r + 1), over the same sum with the largest gains first
    precisionAtK             hits(k) / k, also where a user has fewer than k items
    recallAtK                hits(k) / n
    meanAveragePrecision     sum_r hit(r) hits(r) / r / n
    meanAveragePrecisionAtK  sum_{r<=k} hit(r) hits(r) / r / min(n, k)
    meanReciprocalRank       1 / r of the first relevant item, 0 where there is none
    =======================  ====================================================================

    They are those of pyspark.ml's RankingEvaluator where that has them (its labels are all 1). NDCG is K. Järvelin and
    J. Kekäläinen's (ACM TOIS 2002) with the discount log2(r + 1); the others are in chapter 8 of C. Manning et al.,
    Introduction to Information Retrieval.

    Attributes
    ----------
    users : over how many users the means are
    usersLeftOut : how many users have no relevant item, which are left out
    coverage : for lists of recommendations with a catalogue, the part of its items that are among the first k of some
        user; else None

    Examples
    --------
    >>> from spark_fm.evaluation import RankingEvaluator
    >>> rows = [("ann", 0.9, 1.0), ("ann", 0.5, 0.0), ("ann", 0.1, 1.0), ("bob", 0.4, 0.0)]
    >>> metrics = RankingEvaluator(k=2).metrics(spark.createDataFrame(rows, ["user", "prediction", "label"]))
    >>> metrics.users, metrics.usersLeftOut, metrics.recallAtK, metrics.precisionAtK, metrics.meanReciprocalRank
    (1, 1, 0.5, 0.5, 1.0)
    """

    users: int
    usersLeftOut: int
    ndcgAtK: float
    precisionAtK: float
    recallAtK: float
    meanAveragePrecision: float
    meanAveragePrecisionAtK: float
    meanReciprocalRank: float
    coverage: float | None = None


def gain_of(label: Column, threshold: float) -> Column:
    """The label of a relevant item, whose label is above the threshold, and 0 of others."""
    return F.when(label > threshold, label).otherwise(0.0)


def ranking_metrics(ranked: DataFrame, k: int, coverage: float | None = None) -> RankingMetrics:
    """The metrics of the columns user, rank (from 1; null where an item was not ranked) and gain (0: not relevant).

    Raises
    ------
    ValueError
        When no user has a relevant item.
    """
    rank, gain, relevant = F.col("rank"), F.col("gain"), F.col("gain") > 0.0
    by_rank = Window.partitionBy("user").orderBy(F.col("rank").asc_nulls_last())
    hits = F.count(F.when(relevant, 1)).over(by_rank)
    ideal = F.row_number().over(Window.partitionBy("user").orderBy(F.col("gain").desc()))
    first = F.col("rank") <= k

    def discounted(place: Column) -> Column:
        return F.sum(F.when(place <= k, gain / F.log2(place + 1.0)))

    precision = F.col("hits") / rank
    users = (
        ranked.select("user", "rank", "gain", hits.alias("hits"), ideal.alias("ideal"))
        .groupBy("user")
        .agg(
            F.count(F.when(relevant, 1)).alias("relevant"),
            F.count(F.when(relevant & first, 1)).alias("found"),
            F.coalesce(discounted(rank), F.lit(0.0)).alias("dcg"),
            discounted(F.col("ideal")).alias("best"),
            F.coalesce(F.sum(F.when(relevant, precision)), F.lit(0.0)).alias("precisions"),
            F.coalesce(F.sum(F.when(relevant & first, precision)), F.lit(0.0)).alias("precisions_at_k"),
            F.min(F.when(relevant, rank)).alias("first"),
        )
    )
    of_users = {
        "ndcgAtK": F.col("dcg") / F.col("best"),
        "precisionAtK": F.col("found") / k,
        "recallAtK": F.col("found") / F.col("relevant"),
        "meanAveragePrecision": F.col("precisions") / F.col("relevant"),
        "meanAveragePrecisionAtK": F.col("precisions_at_k") / F.least(F.col("relevant"), F.lit(k)),
        "meanReciprocalRank": F.coalesce(1.0 / F.col("first"), F.lit(0.0)),
    }
    kept = F.col("relevant") > 0
    # A division by 0 is an error in ANSI mode: it must not be computed.
    means = [F.avg(F.when(kept, value)).alias(name) for name, value in of_users.items()]
    counts = [F.count(F.when(kept, 1)).alias("users"), F.count(F.when(~kept, 1)).alias("left_out")]
    found = collect(users.agg(*means, *counts))[0]
    if not found["users"]:
        raise ValueError(
            f"labelCol: none of {found['left_out']} users has a relevant item, expected some to measure on"
        )
    return RankingMetrics(
        users=found["users"],
        usersLeftOut=found["left_out"],
        coverage=coverage,
        **{name: float(found[name]) for name in METRICS},
    )
