"""The area under the ROC curve, exactly, by Spark's windows.

AUC = sum_{i of label 1} sum_{j of label 0} w_i w_j (1[s_i > s_j] + 1[s_i = s_j] / 2) / (W_1 W_0)

with the scores s, the weights w, and W_1 and W_0 their sums by label: the chance that a row of label 1 has a larger
score than one of label 0, a tie counting half (J. Hanley and B. McNeil, Radiology 1982).
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from spark_fm.engine.cluster.execute import collect

RANGES = 64
PRECISION = 1e-3


def by_score(rows: DataFrame, *keys: str) -> DataFrame:
    """The weights of label 1 and of label 0, ``pos`` and ``neg``, at each score ``p`` that occurs, by the keys."""
    return rows.groupBy(*keys, "p").agg(
        F.sum(F.col("w") * F.col("y")).alias("pos"), F.sum(F.col("w") * (1.0 - F.col("y"))).alias("neg")
    )


def concordance(scores: DataFrame, key: str) -> DataFrame:
    """By the key, the sums of ``pos`` and ``neg``, and ``concordant``, the weight of the pairs of a row of each label
    that the scores order rightly, ties counting half.
    """
    below = Window.partitionBy(key).orderBy("p").rowsBetween(Window.unboundedPreceding, -1)
    smaller = F.coalesce(F.sum("neg").over(below), F.lit(0.0))
    pairs = F.col("pos") * (smaller + F.col("neg") / 2.0)
    return (
        scores.select(key, "pos", "neg", pairs.alias("pairs"))
        .groupBy(key)
        .agg(F.sum("pos").alias("pos"), F.sum("neg").alias("neg"), F.sum("pairs").alias("concordant"))
    )


def place(value: Column, edges: list[float]) -> Column:
    """How many of the edges a value is above."""
    if not edges:
        return F.lit(0)
    return F.size(F.filter(F.array(*map(F.lit, edges)), lambda edge: edge < value))


def area_under_roc(rows: DataFrame) -> float:
    """AUC of rows (p, y, w) of both labels.

    The scores are cut into ranges that are sorted side by side. Each range has its own pairs, and adds its rows of
    label 1 with all rows of label 0 in the ranges below; where the cuts are has no part in the result.
    """
    shares = [i / RANGES for i in range(1, RANGES)]
    edges = sorted(set(rows.approxQuantile("p", shares, PRECISION)))
    ranges = by_score(rows).withColumn("range", place(F.col("p"), edges))
    found = sorted(collect(concordance(ranges, "range")), key=lambda row: int(row["range"]))
    positive, negative, concordant = 0.0, 0.0, 0.0
    for row in found:
        concordant += row["concordant"] + row["pos"] * negative
        positive, negative = positive + row["pos"], negative + row["neg"]
    return concordant / (positive * negative)


def group_auc(rows: DataFrame) -> float | None:
    """The mean of the groups' AUC, weighted by their rows, of rows (g, p, y, w); None where none has both labels."""
    both = (F.col("pos") > 0.0) & (F.col("neg") > 0.0)
    auc = F.when(both, F.col("concordant") / (F.col("pos") * F.col("neg")))
    weight = F.when(both, F.col("pos") + F.col("neg"))
    groups = concordance(by_score(rows, "g"), "g").select(auc.alias("auc"), weight.alias("weight"))
    sums = groups.agg(F.sum(F.col("auc") * F.col("weight")).alias("area"), F.sum("weight").alias("weight"))
    found = collect(sums)[0]
    return float(found["area"] / found["weight"]) if found["weight"] else None
