"""Recommendations are those of scoring every pair, whatever the partitions, batches, tasks and keys are."""

import re

import numpy as np
import pytest
from pyspark.errors import PySparkException
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

from spark_fm.classification import FMClassificationModel
from spark_fm.core.fm.fields import Field, FieldLayout
from spark_fm.core.fm.weights import Weights
from spark_fm.regression import FMRegressionModel

USERS, ITEMS, GENRES = 12, 40, 3
FEATURES = USERS + ITEMS + GENRES + 2
UNSEEN = FEATURES - 1


def model_of(kind=FMRegressionModel, factor_size=3, seed=0):
    """Random parameters for all features but the last."""
    random = np.random.default_rng(seed)
    ids = np.arange(UNSEEN)
    linear = random.normal(size=ids.size).astype(np.float32)
    factors = random.normal(size=(ids.size, factor_size)).astype(np.float32)
    model = kind()
    model._weights, model._num_features = Weights(ids, linear, factors, 0.25), FEATURES
    return model


@pytest.fixture(scope="module")
def model():
    return model_of()


@pytest.fixture(scope="module")
def users(spark):
    """Users with an hour; the last one has no id that training has met."""
    rows = [(u, [u if u < USERS - 1 else UNSEEN] + [USERS + ITEMS + GENRES] * (u % 3)) for u in range(USERS)]
    return spark.createDataFrame(rows, "user int, features array<int>").persist()


@pytest.fixture(scope="module")
def items(spark):
    """Items with a genre, those from 30 on alike, so that they tie."""
    rows = [(f"film {i}", [USERS + min(i, 30), USERS + ITEMS + min(i, 30) % GENRES]) for i in range(ITEMS)]
    return spark.createDataFrame(rows, "item string, features array<int>").persist()


def scored(model, contexts, items, context="user", item="item"):
    """Every pair and its rating, by transform."""
    one, other = contexts.withColumnRenamed("features", "f"), items.withColumnRenamed("features", "g")
    pairs = one.crossJoin(other).select(context, item, F.concat("f", "g").alias("features"))
    found = model.transform(pairs).collect()
    rating = (
        (lambda r: r.prediction) if isinstance(model, FMRegressionModel) else (lambda r: r.probability[1])
    )
    return [(row[context], row[item], rating(row)) for row in found]


def expected(pairs, k, left_out=()):
    by_context = {}
    for context, item, rating in pairs:
        by_context.setdefault(context, [])
        if (context, item) not in left_out:
            by_context[context].append((item, rating))
    return {
        context: sorted(found, key=lambda pair: (-round(pair[1], 9), pair[0]))[:k]
        for context, found in by_context.items()
    }


def found_by(recommended, context="user", item="item"):
    rows = recommended.collect()
    assert len({row[context] for row in rows}) == len(rows)
    return {row[context]: [(one[item], one.rating) for one in row.recommendations] for row in rows}


def assert_same(found, wanted):
    assert set(found) == set(wanted)
    for context, best in wanted.items():
        assert [key for key, _ in found[context]] == [key for key, _ in best], context
        np.testing.assert_allclose([r for _, r in found[context]], [r for _, r in best], rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def every_pair(model, users, items):
    return scored(model, users, items)


@pytest.mark.parametrize("k", [7, ITEMS + 5])
def test_as_scoring_every_pair(model, users, items, every_pair, k):
    assert_same(found_by(model.recommend(users, items, k)), expected(every_pair, k))


def test_ties_come_in_the_order_of_their_keys(model, users, items):
    alike = [f"film {i}" for i in range(30, 40)]
    for best in found_by(model.recommend(users, items, ITEMS)).values():
        tied = [(key, rating) for key, rating in best if key in alike]
        assert [key for key, _ in tied] == sorted(alike)
        assert len({rating for _, rating in tied}) == 1


@pytest.mark.parametrize(("parts", "tasks"), [(1, 1), (60, 3)])
def test_partitions_and_tasks_change_nothing(model, users, items, every_pair, parts, tasks):
    """Of 60 partitions of 12 users and 40 items most are empty."""
    recommended = model.recommend(
        users.repartition(parts), items.repartition(parts, "item"), 5, numTasks=tasks
    )
    assert_same(found_by(recommended), expected(every_pair, 5))


def test_small_batches_change_nothing(spark, model, users, items, every_pair):
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", 3)
    try:
        found = found_by(model.recommend(users, items, 5))
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    assert_same(found, expected(every_pair, 5))


def test_pairs_are_left_out_exactly(spark, model, users, items, every_pair):
    """They may repeat, and name keys that there are not, or nulls; the first user leaves out all, the second almost."""
    left_out = {(0, f"film {i}") for i in range(ITEMS)} | {(1, f"film {i}") for i in range(1, ITEMS)}
    left_out |= {(u, f"film {(7 * u + i) % ITEMS}") for u in range(2, USERS, 2) for i in range(5)}
    noise = [(None, "film 3"), (4, None), (99, "film 3"), (5, "another film")]
    rows = [*left_out, *list(left_out)[:30], *noise]
    exclude = spark.createDataFrame(rows, "user bigint, item string").repartition(3)
    found = found_by(model.recommend(users, items, 6, exclude=exclude))
    assert_same(found, expected(every_pair, 6, left_out))
    assert found[0] == []
    assert [key for key, _ in found[1]] == ["film 0"]


def test_classifiers_give_probabilities(users, items):
    model = model_of(FMClassificationModel)
    found = found_by(model.recommend(users, items, 4))
    assert_same(found, expected(scored(model, users, items), 4))
    assert all(0.0 < rating < 1.0 for best in found.values() for _, rating in best)


def test_vectors_and_keys_of_other_types(spark, model):
    """The names of columns are any, and the sides may have features of either form."""
    users = spark.createDataFrame(
        [(f"u{u}", Vectors.sparse(FEATURES, [u, 54], [1.0, 0.5 * u])) for u in range(5)],
        ["the user", "features"],
    )
    items = spark.createDataFrame(
        [(10**12 + i, [USERS + i]) for i in range(9)], "`i.d` bigint, features array<bigint>"
    )
    rows = model.recommend(users, items, 2, contextCol="the user", itemCol="i.d").collect()
    assert len(rows) == 5
    for row in rows:
        u = int(row["the user"][1:])
        z = {
            10**12 + i: model.predict(Vectors.sparse(FEATURES, {u: 1.0, USERS + i: 1.0, 54: 0.5 * u}))
            for i in range(9)
        }
        assert [one["i.d"] for one in row.recommendations] == sorted(z, key=z.get, reverse=True)[:2]
        assert row.recommendations[0].rating == pytest.approx(max(z.values()))


def test_a_linear_model_ranks(users, items):
    model = model_of(factor_size=0)
    assert_same(found_by(model.recommend(users, items, 3)), expected(scored(model, users, items), 3))


def test_contexts_may_repeat_and_need_not_be_users(spark, model, items):
    contexts = spark.createDataFrame([(1, [1]), (1, [1, 55]), (2, [2])], "user int, features array<int>")
    rows = model.recommend(contexts, items, 2).collect()
    assert sorted(row.user for row in rows) == [1, 1, 2]
    assert len({row.recommendations[0].rating for row in rows}) == 3


def test_no_contexts_and_no_items(model, users, items):
    nobody, nothing = users.where("user < 0"), items.where("item IS NULL")
    assert model.recommend(nobody, items, 3).collect() == []
    assert found_by(model.recommend(users, nothing, 3)) == {u: [] for u in range(USERS)}
    assert model.recommend(nobody, nothing, 3).collect() == []


def test_the_vectors_score_every_pair(model, users, items, every_pair):
    phi = {row.user: np.array(row.vector) for row in model.contextVectors(users).collect()}
    psi = {row.item: np.array(row.vector) for row in model.itemVectors(items).collect()}
    assert {vector.size for vector in [*phi.values(), *psi.values()]} == {3 + 2}
    for user, item, rating in every_pair:
        assert phi[user] @ psi[item] == pytest.approx(rating)


def test_nothing_runs_before_an_action(model, users, items):
    raising = users.withColumn("user", F.raise_error(F.lit("computed")).cast("int"))
    recommended = model.recommend(raising, items, 3)
    with pytest.raises(PySparkException, match="computed"):
        recommended.collect()


ERRORS = [
    (
        "user int, features array<int>",
        [(1, [1]), (None, [2])],
        "user': found null as the key of one of the contexts",
    ),
    ("user int, features array<int>", [(1, [1]), (2, None)], "contexts: column 'features': row 1 is null"),
    (
        "user int, features array<int>",
        [(1, [1, USERS + 3])],
        f"the feature #{USERS + 3} is among those of the contexts and",
    ),
]


@pytest.mark.parametrize(("schema", "rows", "sentence"), ERRORS)
def test_bad_contexts_are_told_whatever_is_selected(spark, model, items, schema, rows, sentence):
    recommended = model.recommend(spark.createDataFrame(rows, schema).coalesce(1), items, 3)
    with pytest.raises(PySparkException, match=re.escape(sentence)):
        recommended.select(F.lit(1)).collect()


BAD_ITEMS = [
    ([("a", [12]), ("b", [13]), ("a", [14])], "items: found the key 'a' twice, expected each item once"),
    ([("a", [12]), (None, [13])], "column 'item': found null as the key of one of the items"),
    ([("a", [12]), ("b", [-1])], "items: column 'features': row 1 has the negative index -1"),
]


@pytest.mark.parametrize(("rows", "sentence"), BAD_ITEMS)
def test_bad_items_are_told(spark, model, users, rows, sentence):
    items = spark.createDataFrame(rows, "item string, features array<int>")
    with pytest.raises(PySparkException, match=re.escape(sentence)):
        model.recommend(users, items, 3).collect()
    if "twice" not in sentence:
        with pytest.raises(PySparkException, match=re.escape(sentence)):
            model.itemVectors(items.coalesce(1)).select("item").collect()


def test_vectors_of_another_size_are_told(spark, model, items):
    users = spark.createDataFrame([(1, Vectors.dense([1.0]))], ["user", "features"])
    with pytest.raises(
        PySparkException, match=f"contexts: column 'features': vectors of size 1, expected {FEATURES}"
    ):
        model.recommend(users, items, 3).collect()


def test_what_the_schema_tells_is_refused_at_once(spark, model, users, items):
    normalized = model_of()._set(normalize=True)
    with pytest.raises(ValueError, match="normalize: found true, expected false"):
        normalized.recommend(users, items, 3)
    with pytest.raises(ValueError, match="normalize: found true, expected false"):
        normalized.itemVectors(items)
    for k in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match=f"k: found {k}, expected an integer of at least 1"):
            model.recommend(users, items, k)
    with pytest.raises(ValueError, match="numTasks: found -1, expected"):
        model.recommend(users, items, 1, numTasks=-1)
    with pytest.raises(
        ValueError, match="contextCol: there is no column 'userId'; the columns are: user, features"
    ):
        model.recommend(users, items, 3, contextCol="userId")
    with pytest.raises(ValueError, match="found 'user' for both, expected two names"):
        model.recommend(users, users, 3, itemCol="user")
    with pytest.raises(ValueError, match="featuresCol of the items: there is no column 'features'"):
        model.recommend(users, items.drop("features"), 3)
    doubles = users.withColumn("user", F.col("user").cast("double"))
    with pytest.raises(
        TypeError, match="contextCol: column 'user' has type double, expected integers, strings"
    ):
        model.recommend(doubles, items, 3)
    pairs = spark.createDataFrame([(1, 2)], "user int, item int")
    with pytest.raises(TypeError, match="exclude: column 'item' has type int, expected string"):
        model.recommend(users, items, 3, exclude=pairs)
    with pytest.raises(ValueError, match="exclude: there is no column 'user'"):
        model.recommend(users, items, 3, exclude=pairs.select("item"))


def test_reasons_are_the_largest_parts_of_the_item(model, users, items):
    """They are those of explain, without what the features of the context say by themselves."""
    recommended = model.recommend(users.repartition(3), items, 3, reasons=4)
    assert recommended.schema.simpleString() == (
        "struct<user:int,recommendations:array<struct<item:string,rating:double,"
        "reasons:array<struct<label:string,contribution:double>>>>>"
    )
    of_user, of_item = (
        {row[key]: row.features for row in rows.collect()} for rows, key in ((users, "user"), (items, "item"))
    )
    plain = found_by(model.recommend(users, items, 3))
    for row in recommended.collect():
        assert [(one["item"], one.rating) for one in row.recommendations] == plain[row.user]
        for one in row.recommendations:
            explained = model.explain([*of_user[row.user], *of_item[one["item"]]])
            of_context = set(of_user[row.user])
            parts = {f"#{f}": x for f, x in explained.linear.items() if f not in of_context}
            parts |= {f"#{f} x #{g}": x for (f, g), x in explained.pairs.items() if {f, g} - of_context}
            wanted = sorted(parts.values(), key=abs, reverse=True)[:4]
            assert [reason.contribution for reason in one.reasons] == pytest.approx(wanted, rel=1e-6)
            names = [set(reason.label.split(" x ")) for reason in one.reasons]
            by_names = {frozenset(label.split(" x ")): x for label, x in parts.items()}
            assert [by_names[frozenset(n)] for n in names] == pytest.approx(wanted, rel=1e-6)


def test_fields_name_reasons_and_what_is_refused(spark, users, items):
    model = model_of()
    sizes = (("user", 0, USERS), ("film", USERS, ITEMS), ("genre", USERS + ITEMS, GENRES))
    model._fields = FieldLayout(tuple(Field(*one) for one in sizes), {1: "ann", USERS + 30: "Alien"})
    one = spark.createDataFrame([("x", [USERS + 30, USERS + ITEMS + 2])], "item string, features array<int>")
    (row,) = model.recommend(users.where("user = 1"), one, 1, reasons=9).collect()
    labels = {reason.label for reason in row.recommendations[0].reasons}
    assert {"user=ann x film=Alien", "film=Alien", "film=Alien x genre=#2"} <= labels
    both = spark.createDataFrame([("x", [USERS + 30, 1])], "item string, features array<int>")
    with pytest.raises(
        PySparkException, match="the feature user=#1 is among those of the contexts and of the items"
    ):
        model.recommend(users, both, 1).collect()


def test_reasons_of_nothing_and_of_bad_rows(spark, model, users, items):
    found = model.recommend(users, items.where("item IS NULL"), 3, reasons=2).collect()
    assert [row.recommendations for row in found] == [[]] * USERS
    bad = spark.createDataFrame([(1, [-1])], "user int, features array<int>")
    with pytest.raises(
        PySparkException, match="contexts: column 'features': row 0 has the negative index -1"
    ):
        model.recommend(bad, items, 3, reasons=2).collect()
    with pytest.raises(ValueError, match="reasons: found -1, expected an integer of at least 0"):
        model.recommend(users, items, 3, reasons=-1)
