"""Metrics of lists of recommendations, held against what users took."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, StructType

from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.packing.columns import field_of, number_of
from spark_fm.engine.packing.keys import common_type, key_as
from spark_fm.evaluation.columns import count_if, is_missing, key_of, refuse
from spark_fm.evaluation.ranking_metrics import RankingMetrics, gain_of, ranking_metrics


def recommendationMetrics(
    recommendations: DataFrame,
    truth: DataFrame,
    *,
    userCol: str = "user",
    itemCol: str = "item",
    recommendationsCol: str = "recommendations",
    labelCol: str | None = None,
    relevanceThreshold: float = 0.0,
    k: int = 10,
    catalogue: DataFrame | None = None,
) -> RankingMetrics:
    """How good lists of recommendations are: ranks are places in a user's list.

    Users of ``truth`` without a list count with 0: nothing was found for them. Users without a relevant item in
    ``truth`` are left out, and counted. An item that occurs again in a list counts at its first place, and a pair that
    occurs again in ``truth`` with its largest label. Nulls in a list are places at which nothing is found. Integers and
    decimals may be of other types in one table than in another: users and items are compared exactly.

    Parameters
    ----------
    recommendations : ``userCol`` and ``recommendationsCol``, the best first: an array of items, or of structs that have
        the item as ``itemCol`` or as their first field, as recommendForAllUsers of this package and of pyspark.ml makes
    truth : ``userCol`` and ``itemCol``, a row for each pair that was taken, and its label as ``labelCol``; without one
        all have the label 1. A pair is relevant where its label is above ``relevanceThreshold``.
    k : how many of the first places count
    catalogue : all items as ``itemCol``, a row each: with it, coverage is the part of them that are at one of the first
        k places of some user

    Raises
    ------
    ValueError, TypeError
        When a column is missing or of another type, or users or items are of types that can't be compared exactly, such
        as strings and integers; when a user, an item or a label of ``truth`` is null; when no user
        has a relevant item; when ``k`` is below 1.

    Examples
    --------
    >>> lists = spark.createDataFrame([("ann", ["film", "book"]), ("bob", ["book"])], ["user", "recommendations"])
    >>> truth = spark.createDataFrame([("ann", "book"), ("bob", "book"), ("eve", "song")], ["user", "item"])
    >>> catalogue = spark.createDataFrame([("film",), ("book",), ("song",), ("game",)], ["item"])
    >>> metrics = recommendationMetrics(lists, truth, k=2, catalogue=catalogue)
    >>> metrics.users, round(metrics.recallAtK, 3), metrics.meanReciprocalRank, metrics.coverage
    (3, 0.667, 0.5, 0.5)
    """
    if k < 1:
        raise ValueError(f"k: found {k}, expected an integer >= 1")
    listed = _listed(recommendations, userCol, itemCol, recommendationsCol)
    kinds = (
        common_type(truth, userCol, "userCol of truth", listed.schema["user"].dataType),
        common_type(truth, itemCol, "itemCol of truth", listed.schema["item"].dataType),
    )
    if catalogue is not None:
        item_type = common_type(catalogue, itemCol, "catalogue", listed.schema["item"].dataType)
    taken = _as(_taken(truth, userCol, itemCol, labelCol), *kinds)
    both = _as(listed, *kinds).join(taken, ["user", "item"], "full_outer")
    gain = gain_of(F.coalesce(F.col("label"), F.lit(0.0)), relevanceThreshold)
    ranked = both.select("user", "rank", gain.alias("gain"))
    coverage = None
    if catalogue is not None:
        items = catalogue.select(key_as(catalogue, itemCol, item_type).alias("item"))
        coverage = _coverage(listed.where(F.col("rank") <= k), items)
    return ranking_metrics(ranked, k, coverage)


def _listed(recommendations: DataFrame, user_col: str, item_col: str, list_col: str) -> DataFrame:
    """The columns user, item and rank: where an item is in a user's list first.

    A null in a list, or an empty list, is a row whose item is null: it matches nothing, and tells of the user.
    """
    found = field_of(recommendations, list_col, "recommendationsCol").dataType
    if not isinstance(found, ArrayType):
        raise TypeError(
            f"recommendationsCol: column {list_col!r} has type {found.simpleString()}, expected an array of items, or "
            "of structs with an item"
        )
    user, items = (
        key_of(recommendations, user_col, "userCol"),
        key_of(recommendations, list_col, "recommendationsCol"),
    )
    places = recommendations.select(user.alias("user"), F.posexplode_outer(items).alias("place", "entry"))
    item = _item(found.elementType, item_col)
    return (
        places.select("user", item.alias("item"), (F.col("place") + 1).alias("rank"))
        .where(F.col("user").isNotNull())
        .groupBy("user", "item")
        .agg(F.min("rank").alias("rank"))
    )


def _item(entry: DataType, item_col: str) -> Column:
    if not isinstance(entry, StructType):
        return F.col("entry")
    names = entry.fieldNames()
    return F.col("entry").getField(item_col if item_col in names else names[0])


def _taken(truth: DataFrame, user_col: str, item_col: str, label_col: str | None) -> DataFrame:
    """The columns user, item and label, checked."""
    label = number_of(truth, label_col, "labelCol") if label_col else F.lit(1.0)
    rows = truth.select(
        key_of(truth, user_col, "userCol").alias("user"),
        key_of(truth, item_col, "itemCol").alias("item"),
        label.alias("label"),
    )
    counts = {
        "rows": F.count(F.lit(1)),
        "user": count_if(F.col("user").isNull()),
        "item": count_if(F.col("item").isNull()),
        "label": count_if(is_missing(F.col("label"))),
    }
    found = collect(rows.agg(*(count.alias(name) for name, count in counts.items())))[0]
    count = found["rows"]
    refuse(found["user"], count, "userCol", user_col, "null", "a user in each row of truth")
    refuse(found["item"], count, "itemCol", item_col, "null", "an item in each row of truth")
    refuse(found["label"], count, "labelCol", label_col or "", "null or NaN", "a number in each row of truth")
    return rows.groupBy("user", "item").agg(F.max("label").alias("label"))


def _as(pairs: DataFrame, user: DataType, item: DataType) -> DataFrame:
    """The pairs with their keys in these types."""
    return pairs.withColumns({"user": F.col("user").cast(user), "item": F.col("item").cast(item)})


def _coverage(listed: DataFrame, catalogue: DataFrame) -> float:
    items = catalogue.where(F.col("item").isNotNull()).distinct()
    shown = listed.select(
        F.col("item").cast(items.schema["item"].dataType), F.lit(1).alias("shown")
    ).distinct()
    found = collect(
        items.join(shown, "item", "left").agg(
            F.count(F.lit(1)).alias("items"), F.count("shown").alias("shown")
        )
    )[0]
    if not found["items"]:
        raise ValueError("catalogue: there are no items, expected some")
    return float(found["shown"] / found["items"])
