"""Under ALS's names: the same schemas as ALSModel's, and the best of all pairs."""

import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.recommendation import ALS
from pyspark.sql import functions as F

from spark_fm import FMRegressor
from spark_fm.feature import FieldEncoder, categorical, cross, numeric
from spark_fm.recommendation import Recommender
from tests.conftest import movielens_rows

USERS = 30


@pytest.fixture(scope="module")
def rated(spark):
    rows = [(user, item, rating, [user, USERS + item]) for user, item, rating in movielens_rows()]
    schema = "user int, item int, rating float, features array<int>"
    return spark.createDataFrame(rows, schema).coalesce(1).persist()


@pytest.fixture(scope="module")
def model(rated):
    return FMRegressor(labelCol="rating", factorSize=3, initStd=0.3, maxIter=5, seed=1).fit(rated)


@pytest.fixture(scope="module")
def recommender(rated, model):
    users = rated.select("user", F.array("user").alias("features")).distinct()
    items = rated.select("item", F.array(F.col("item") + USERS).alias("features")).distinct()
    return Recommender(model, users, items)


def best(rated, model, by, other, k):
    """The best of every pair, by predict."""
    rows = rated.collect()
    found = {}
    for key in {row[by] for row in rows}:
        scores = {}
        for one in {row[other] for row in rows}:
            user, item = (key, one) if by == "user" else (one, key)
            scores[one] = model.predict([user, USERS + item])
        found[key] = sorted(scores, key=lambda one: (-scores[one], one))[:k]
    return found


def keys(recommended, by, other):
    return {row[by]: [one[other] for one in row.recommendations] for row in recommended.collect()}


def test_schemas_are_those_of_als(rated, recommender):
    als = ALS(userCol="user", itemCol="item", ratingCol="rating", rank=2, maxIter=1).fit(rated)
    some = rated.select("user", "item").limit(3)
    for name in ("AllUsers", "AllItems"):
        ours, theirs = (getattr(made, f"recommendFor{name}")(2) for made in (recommender, als))
        assert ours.schema.simpleString() == theirs.schema.simpleString()
    for name in ("UserSubset", "ItemSubset"):
        ours, theirs = (getattr(made, f"recommendFor{name}")(some, 2) for made in (recommender, als))
        assert ours.schema.simpleString() == theirs.schema.simpleString()


def test_users_get_items_and_items_users(rated, model, recommender):
    assert keys(recommender.recommendForAllUsers(4), "user", "item") == best(rated, model, "user", "item", 4)
    assert keys(recommender.recommendForAllItems(4), "item", "user") == best(rated, model, "item", "user", 4)


def test_subsets_are_looked_up_once_each(spark, rated, model, recommender):
    some = spark.createDataFrame([(3,), (3,), (7,), (999,)], "user int")
    found = recommender.recommendForUserSubset(some, 2).collect()
    wanted = best(rated, model, "user", "item", 2)
    assert sorted(row.user for row in found) == [3, 7]
    assert {row.user: [one.item for one in row.recommendations] for row in found} == {
        u: wanted[u] for u in (3, 7)
    }
    films = keys(recommender.recommendForItemSubset(rated.where("item = 5"), 2), "item", "user")
    assert films == {5: best(rated, model, "item", "user", 2)[5]}


def test_what_users_have_seen_is_left_out(rated, recommender):
    seen = {(row.user, row.item) for row in rated.collect()}
    found = keys(recommender.recommendForAllUsers(10, exclude=rated), "user", "item")
    assert not seen & {(user, item) for user, items in found.items() for item in items}
    found = keys(recommender.recommendForAllItems(3, exclude=rated), "item", "user")
    assert not seen & {(user, item) for item, users in found.items() for user in users}


def test_a_user_that_training_has_not_met_gets_what_is_liked_by_all(spark, rated, model):
    cold = spark.createDataFrame([(1000, [10**6])], "user int, features array<int>")
    films = rated.select("item", F.array(F.col("item") + USERS).alias("features")).distinct()
    items = keys(Recommender(model, cold, films).recommendForAllUsers(3), "user", "item")[1000]
    scores = {item: model.predict([10**6, USERS + item]) for item in range(100)}
    assert items == sorted(scores, key=scores.get, reverse=True)[:3]


GENRES = ["Noir", "Drama", "Comedy"]


@pytest.fixture(scope="module")
def events(rated):
    """The ratings with names, hours and genres: what an encoder reads."""
    return rated.select(
        F.concat(F.lit("user "), "user").alias("user"),
        F.concat(F.lit("film "), "item").alias("item"),
        F.element_at(F.array(*map(F.lit, GENRES)), F.col("item") % 3 + 1).alias("genre"),
        (F.hash("user", "item") % 3 + 3).alias("hour"),
        "rating",
    )


@pytest.fixture(scope="module")
def pipeline(events):
    fields = [categorical("user"), categorical("item"), categorical("genre"), numeric("hour")]
    machine = FMRegressor(labelCol="rating", factorSize=3, initStd=0.3, maxIter=5, seed=1)
    return Pipeline(stages=[FieldEncoder(fields=fields), machine]).fit(events)


def test_an_encoder_makes_the_features_of_each_side(spark, events, pipeline):
    """Users at an hour, of whom one is new, and a film that nobody has rated, of a known genre."""
    films = (
        events.select("item", "genre")
        .distinct()
        .union(spark.createDataFrame([("new", "Noir")], "a string, b string"))
    )
    people = events.select("user").distinct()
    contexts = spark.createDataFrame([("user 3", 4), ("nobody", 2)], "user string, hour int")
    found = Recommender(pipeline, people, films).recommend(contexts, 200, reasons=3).collect()
    pairs = contexts.crossJoin(films)
    wanted = {(row.user, row["item"]): row.prediction for row in pipeline.transform(pairs).collect()}
    assert len(wanted) == 2 * 101
    ratings = {(row.user, one["item"]): one.rating for row in found for one in row.recommendations}
    assert ratings == pytest.approx(wanted)
    labels = {reason.label for row in found for one in row.recommendations for reason in one.reasons}
    assert any(label.startswith("user=user 3 x item=film") for label in labels)


def test_an_encoder_ranks_users_without_what_they_do_not_have(events, pipeline):
    people, films = events.select("user").distinct(), events.select("item", "genre").distinct()
    found = Recommender(pipeline, people, films).recommendForItemSubset(events.where("item = 'film 7'"), 5)
    (row,) = found.collect()
    assert row["item"] == "film 7"
    assert len({one.user for one in row.recommendations}) == 5


def test_fields_that_are_not_of_one_side_are_refused(events, pipeline):
    people, films = events.select("user", "genre").distinct(), events.select("item", "genre").distinct()
    with pytest.raises(
        ValueError, match=r"itemFields: both .* of field 'genre' \(genre\), expected the names"
    ):
        Recommender(pipeline, people, films)
    told = Recommender(pipeline, people, films, itemFields=["item", "genre"])
    assert told.recommendForAllUsers(1).count() == people.count()
    crossed = [categorical("user"), categorical("item"), cross("user", "item")]
    machine = FMRegressor(labelCol="rating", factorSize=2, maxIter=1)
    model = Pipeline(stages=[FieldEncoder(fields=crossed), machine]).fit(events)
    with pytest.raises(
        ValueError, match=r"field 'user x item': found columns of both sides \(user, item\), expected"
    ):
        Recommender(model, people.select("user"), films)
    with pytest.raises(
        TypeError, match="model: found FieldEncoderModel, FieldEncoderModel, expected a fitted"
    ):
        Recommender(PipelineModel([pipeline.stages[0]] * 2), people, films)


def test_columns_are_checked_at_once(rated, model, recommender):
    users, items = rated.select("user"), rated.select("item")
    with pytest.raises(ValueError, match="userCol: there is no column 'userId'"):
        Recommender(model, users, items, userCol="userId")
    with pytest.raises(ValueError, match="itemCol: there is no column 'movieId'"):
        Recommender(model, users, items, itemCol="movieId")
    with pytest.raises(ValueError, match="userCol: there is no column 'user'"):
        recommender.recommendForUserSubset(items, 3)
