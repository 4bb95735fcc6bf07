"""Tables whose keys are of other types: compared exactly, or refused in a sentence before a job runs."""

from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from spark_fm import FMRegressor
from spark_fm.evaluation import recommendationMetrics
from spark_fm.recipes import ratedItems
from spark_fm.recommendation import Recommender

BIG = 2**60
# The last two are of no item, and of no user.
ODD = [
    (Decimal(0), Decimal(10)),
    (Decimal(1), Decimal(11)),
    (Decimal(2), Decimal(BIG + 1)),
    (Decimal("1.5"), Decimal(10)),
]


@pytest.fixture(scope="module")
def model(spark):
    rows = [([u, 3 + i], float(u + i)) for u in range(3) for i in range(3)] * 5
    frame = spark.createDataFrame(rows, "features array<int>, label double")
    return FMRegressor(factorSize=2, maxIter=0, numPartitions=1).fit(frame)


def users_of(spark, kind):
    rows = spark.createDataFrame([(u, [u]) for u in range(3)], "user bigint, features array<int>")
    return rows.withColumn("user", F.col("user").cast(kind))


def items_of(spark, keys, kind):
    rows = spark.createDataFrame(
        [(str(key), [3 + i]) for i, key in enumerate(keys)], "item string, features array<int>"
    )
    return rows.withColumn("item", F.col("item").cast(kind))


@pytest.mark.parametrize(
    ("users", "items", "keys", "exclude", "pairs"),
    [
        # Narrower than the items', of which one does not fit; wider; of other scales.
        ("bigint", "bigint", (10, 2**40, 11), "user int, item smallint", [(0, 10), (1, 11)]),
        ("int", "int", (10, 12, 11), "user bigint, item bigint", [(0, 10), (1, 11), (1, 2**32 + 10)]),
        ("int", "bigint", (10, BIG, 11), "user decimal(4,1), item decimal(21,2)", ODD),
        ("decimal(20,0)", "decimal(12,2)", (10, 12, 11), "user int, item int", [(0, 10), (1, 11)]),
    ],
)  # fmt: skip
def test_what_is_excluded_is_told_by_value(spark, model, users, items, keys, exclude, pairs):
    left_out = spark.createDataFrame(pairs, exclude)
    contexts, ranked = users_of(spark, users), items_of(spark, keys, items)
    best = model.recommend(contexts, ranked, 3, exclude=left_out)
    assert best.schema["user"].dataType == contexts.schema["user"].dataType
    assert (
        best.schema["recommendations"].dataType.elementType["item"].dataType == ranked.schema["item"].dataType
    )
    found = {int(row.user): {int(one["item"]) for one in row.recommendations} for row in best.collect()}
    assert found == {0: {keys[1], 11}, 1: {10, keys[1]}, 2: set(keys)}


@pytest.mark.parametrize(
    ("exclude", "sentence"),
    [
        (
            "user string, item bigint",
            "exclude: column 'user' has type string, expected bigint as the keys that",
        ),
        (
            "user bigint, item double",
            "exclude: column 'item' has type double, expected bigint as the keys that",
        ),
        (
            "user bigint, item decimal(38,30)",
            r"exclude: column 'item' has type decimal\(38,30\), expected bigint",
        ),
    ],
)
def test_keys_that_can_not_be_compared_exactly_are_refused(spark, model, exclude, sentence):
    pairs = spark.createDataFrame([], exclude)
    with pytest.raises(TypeError, match=sentence):
        model.recommend(users_of(spark, "bigint"), items_of(spark, (1, 2, 3), "bigint"), 1, exclude=pairs)


def test_lists_and_truth_of_two_types(spark):
    lists = spark.createDataFrame(
        [(1, [BIG, 7]), (2, [BIG + 1, 8])], "user bigint, recommendations array<bigint>"
    )
    truth = spark.createDataFrame(
        [(1, Decimal(BIG + 1)), (2, Decimal(BIG + 1))], "user int, item decimal(30,0)"
    )
    catalogue = spark.createDataFrame([(Decimal(BIG),), (Decimal(BIG + 2),)], "item decimal(25,1)")
    found = recommendationMetrics(lists, truth, k=2, catalogue=catalogue)
    # As doubles they are one item: both users would have found it.
    assert (found.users, found.recallAtK, found.coverage) == (2, 0.5, 0.5)
    for ddl, sentence in (
        ("user string, item bigint", "userCol of truth: column 'user' has type string, expected bigint"),
        ("user bigint, item string", "itemCol of truth: column 'item' has type string, expected bigint"),
        ("user bigint, item double", "itemCol of truth: column 'item' has type double, expected bigint"),
    ):
        with pytest.raises(TypeError, match=sentence):
            recommendationMetrics(lists, spark.createDataFrame([], ddl))
    with pytest.raises(TypeError, match="catalogue: column 'item' has type string, expected bigint"):
        recommendationMetrics(lists, truth, catalogue=catalogue.select(F.col("item").cast("string")))


def test_subsets_and_histories_of_two_types(spark, model):
    recommender = Recommender(model, users_of(spark, "bigint"), items_of(spark, (1, 2, 3), "bigint"))
    some = spark.createDataFrame([(1,), (2**32 + 2,)], "user bigint").withColumn(
        "user", F.col("user").cast("decimal(20,1)")
    )
    assert [row.user for row in recommender.recommendForUserSubset(some, 1).collect()] == [1]
    with pytest.raises(TypeError, match="userCol: column 'user' has type string, expected bigint"):
        recommender.recommendForUserSubset(spark.createDataFrame([("02",)], "user string"), 1)
    rows = spark.createDataFrame([(1, 7)], "user int, item int")
    history = spark.createDataFrame(
        [(1, 7), (1, BIG), (1, BIG + 1), (2**32 + 1, 9)], "user bigint, item bigint"
    )
    (row,) = ratedItems(rows, "user", "item", history).collect()
    assert row.rated == [BIG, BIG + 1]
    with pytest.raises(TypeError, match="itemCol: column 'item' has type string, expected int"):
        ratedItems(rows, "user", "item", history.withColumn("item", F.col("item").cast("string")))


def test_names_that_recommendations_have_are_refused(spark, model):
    users, items = users_of(spark, "int"), items_of(spark, (1, 2, 3), "int")
    for names, reasons in (
        ({"itemCol": "rating"}, 0),
        ({"itemCol": "Reasons"}, 1),
        ({"contextCol": "recommendations"}, 0),
    ):
        ((param, name),) = names.items()
        old = {"itemCol": "item", "contextCol": "user"}[param]
        with pytest.raises(
            ValueError, match=f"{param}: found {name!r}, which is the name of one that spark_fm adds"
        ):
            model.recommend(
                users.withColumnRenamed(old, name),
                items.withColumnRenamed(old, name),
                1,
                reasons=reasons,
                **names,
            )
    found = model.recommend(users, items.withColumnRenamed("item", "reasons"), 1, itemCol="reasons").collect()
    assert len(found) == 3
    with pytest.raises(ValueError, match="itemCol: found 'vector', which is the name of one"):
        model.itemVectors(items.withColumnRenamed("item", "vector"), "vector")
    with pytest.raises(ValueError, match="contextCol: found 'vector', which is the name of one"):
        model.contextVectors(users.withColumnRenamed("user", "vector"), "vector")
