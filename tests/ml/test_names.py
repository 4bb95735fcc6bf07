"""A feature is its name, not its number: models and columns of different encoders."""

import re
from pathlib import Path

import numpy as np
import pytest
from pyspark.ml import Pipeline
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.tuning import ParamGridBuilder, TrainValidationSplit
from pyspark.sql import functions as F

from spark_fm import FMClassifier, FMRegressionModel, FMRegressor
from spark_fm.cli.score import check_features
from spark_fm.core.fm.agreement import difference, followed
from spark_fm.engine.packing.attributes import layout_of
from spark_fm.feature import FieldEncoder, FieldEncoderModel, categorical, hashed, numeric
from spark_fm.recommendation import Recommender
from tests.ml.test_fields import metadata_of

FIELDS = [categorical("user"), categorical("item")]
PARAMS = {"factorSize": 2, "labelCol": "rating", "numPartitions": 1}
pytestmark = pytest.mark.filterwarnings("ignore:maxIter|no epoch:UserWarning")


def day(spark, rows, seed, often):
    """Ratings of 20 users, by how ``often`` they rate, for 12 items."""
    random, taste = np.random.default_rng(seed), np.random.default_rng(9)
    of_users, of_items = taste.normal(size=(20, 2)), taste.normal(size=(12, 2))
    users, items = random.choice(20, rows, p=often / often.sum()), random.integers(0, 12, rows)
    label = 3.0 + (of_users[users] * of_items[items]).sum(axis=1) + 0.1 * random.normal(size=rows)
    made = [(f"u{u}", f"i{i}", float(y)) for u, i, y in zip(users, items, label, strict=True)]
    return spark.createDataFrame(made, "user string, item string, rating double").coalesce(1).persist()


@pytest.fixture(scope="module")
def first(spark):
    return day(spark, 2000, 1, np.arange(1, 21.0) ** 2)


@pytest.fixture(scope="module")
def second(spark):
    """In which those rate most who rated least before."""
    return day(spark, 300, 2, np.arange(24, 4, -1.0))


@pytest.fixture(scope="module")
def encoders(first, second):
    return tuple(FieldEncoder(fields=FIELDS).fit(rows) for rows in (first, second))


@pytest.fixture(scope="module")
def other(encoders):
    """What is said where features of the second day meet the model of the first."""
    mine, theirs = (encoder.layout.label(0) for encoder in encoders)
    assert mine != theirs
    return f"feature 0 is '{mine}' in the model and '{theirs}' in the column 'features'; expected features of the enc"


@pytest.fixture(scope="module")
def model(first, encoders):
    return FMRegressor(**PARAMS, maxIter=30, keepOptimizerState=True).fit(encoders[0].transform(first))


def rmse(predictions):
    found = np.array(predictions.select("prediction", "rating").collect())
    return float(np.sqrt(((found[:, 0] - found[:, 1]) ** 2).mean()))


def by_name(model):
    """What a model has of each feature."""
    weights = model.weights
    numbers = np.concatenate([weights.linear[:, None], weights.factors, weights.optimizer.roots], axis=1)
    return {
        model.fields.label(i): tuple(row) for i, row in zip(weights.features, numbers.tolist(), strict=True)
    }


@pytest.mark.parametrize(
    "fields",
    [
        FIELDS,
        FIELDS[::-1],
        [numeric("length"), *FIELDS],
        [categorical("uid", name="user"), categorical("item")],
    ],
    ids=["in another order of values", "and of fields", "with another field", "of a renamed column"],
)
def test_a_warm_start_follows_the_names(second, encoders, model, fields):
    renamed = second.withColumn("uid", F.col("user")).withColumn("length", F.length("item"))
    again = FieldEncoder(fields=fields).fit(renamed)
    start = FMRegressor(**PARAMS, maxIter=0, initialModel=model, keepOptimizerState=True)
    found = start.fit(again.transform(renamed))
    assert by_name(found) == by_name(model)
    assert found.weights.intercept == pytest.approx(model.weights.intercept)
    assert again.layout.label(0) != encoders[0].layout.label(0)


def test_a_warm_start_behind_an_encoder_that_learned_again_is_one(first, second, encoders, model):
    test = first.limit(500)
    fits = {
        name: FMRegressor(**PARAMS, **more).fit(encoder.transform(second)).transform(encoder.transform(test))
        for name, encoder, more in [
            ("kept", encoders[0], {"initialModel": model}),
            ("again", encoders[1], {"initialModel": model}),
            ("anew", encoders[1], {}),
        ]
    }
    found = {name: rmse(scored) for name, scored in fits.items()}
    assert found["again"] < 0.6 * found["anew"]
    assert found["again"] < 1.2 * found["kept"]


def test_values_that_are_gone_are_left_out_and_new_ones_begin_anew(spark, model):
    rows = spark.createDataFrame(
        [("u15", "i1", 3.0), ("new", "i2", 1.0)] * 20, "user string, item string, rating double"
    )
    encoded = FieldEncoder(fields=FIELDS).fit(rows).transform(rows.coalesce(1))
    found = by_name(
        FMRegressor(**PARAMS, maxIter=1, initialModel=model, keepOptimizerState=True).fit(encoded)
    )
    assert found.keys() == {"user=u15", "user=new", "item=i1", "item=i2"}
    before = by_name(model)
    # AdaGrad's sums only grow: those of the old features have all of their past.
    assert all(found[name][-1] > before[name][-1] for name in ("user=u15", "item=i1", "item=i2"))
    assert found["user=new"][-1] < 0.5 * min(found[name][-1] for name in before if name in found)


def test_fields_that_are_gone_are_told(second, model):
    encoded = FieldEncoder(fields=[categorical("item")]).fit(second).transform(second)
    start = FMRegressor(**PARAMS, maxIter=0, initialModel=model)
    with pytest.warns(
        UserWarning, match=r"^initialModel: the parameters of 'user' are left out, expected fields"
    ):
        found = start.fit(encoded)
    assert {label.split("=")[0] for label in found.fields.labels(found.weights.features)} == {"item"}
    assert found.numFeatures == 12
    encoded = FieldEncoder(fields=[categorical("user", name="reader")]).fit(second).transform(second)
    with pytest.raises(
        ValueError, match=r"^initialModel: its fields are 'user', 'item', those of column 'features' are 'r"
    ):
        start.fit(encoded)


def test_values_without_a_name(first, second):
    """Where nothing has changed but places, checksums tell; else a start is refused."""
    one = FieldEncoder(fields=[*FIELDS, hashed("user", name="hash", width=8)], maxNames=5).fit(first)
    model = FMRegressor(**PARAMS, maxIter=1).fit(one.transform(first))
    start = FMRegressor(**PARAMS, maxIter=0, initialModel=model)
    moved = FieldEncoder(fields=[hashed("user", name="hash", width=8), *FIELDS[::-1]], maxNames=99).fit(first)
    found = start.fit(moved.transform(first))
    np.testing.assert_array_equal(np.sort(found.weights.linear), np.sort(model.weights.linear))
    rows = first.limit(50)
    expected, scored = model.transform(one.transform(rows)), found.transform(moved.transform(rows))
    np.testing.assert_allclose(
        *([row.prediction for row in frame.collect()] for frame in (expected, scored)), rtol=1e-5
    )
    again = FieldEncoder(fields=[*FIELDS, hashed("user", name="hash", width=8)], maxNames=5).fit(second)
    told = (
        r"field 'user' has other features now, and not all have a name .* \(6 of 2. in the column\); expected"
    )
    with pytest.raises(ValueError, match=rf"^initialModel: .* 'features'; {told}"):
        start.fit(again.transform(second))
    with pytest.raises(ValueError, match=r"^featuresCol: "):
        model.transform(again.transform(second))
    wider = FieldEncoder(fields=[*FIELDS, hashed("user", name="hash", width=9)], maxNames=5).fit(first)
    with pytest.raises(ValueError, match=r"^initialModel: .*field 'hash' has other features now"):
        start.fit(wider.transform(first))


def calls(model, own, foreign):
    """Each way in which a model meets a table of features."""
    sides = own.withColumn("context", F.monotonically_increasing_id())
    others = foreign.withColumn("context", F.monotonically_increasing_id())
    return [
        lambda: model.transform(foreign),
        lambda: model.evaluate(foreign),
        lambda: model.recommend(others, sides, 3, contextCol="context", itemCol="item"),
        lambda: model.recommend(sides, others, 3, contextCol="context", itemCol="item"),
        lambda: model.contextVectors(others, "context"),
        lambda: model.itemVectors(others, "context"),
        lambda: Recommender(model, others, sides, "context").recommendForAllUsers(1),
    ]


def test_foreign_features_are_refused(spark, second, encoders, model, other, tmp_path):
    foreign, own = encoders[1].transform(second), encoders[0].transform(second)
    for call in calls(model, own, foreign):
        with pytest.raises(ValueError, match=rf"^featuresCol( of the (contexts|items))?: {other}"):
            call()
    classes = own.withColumn("liked", (F.col("rating") > 3).cast("double"))
    classifier = FMClassifier(labelCol="liked", factorSize=2, maxIter=1).fit(classes)
    for call in (classifier.transform, classifier.evaluate):
        with pytest.raises(ValueError, match=rf"^featuresCol: {other}"):
            call(foreign.withColumn("liked", F.lit(1.0)))
    with pytest.raises(ValueError, match=rf"^input: {other}"):
        check_features(foreign, model)
    # Saved rows still say what their features are, and so do streams of them.
    foreign.write.parquet(str(tmp_path / "rows"))
    for rows in (
        spark.read.parquet(str(tmp_path / "rows")),
        spark.readStream.schema(foreign.schema).parquet(str(tmp_path / "rows")),
    ):
        with pytest.raises(ValueError, match=rf"^featuresCol: {other}"):
            model.transform(rows)
    # Where nobody knows what features are, ids are believed.
    assert model.transform(foreign.withMetadata("features", {})).count() == 300
    assert model.transform(own.select("features")).count() == 300


def test_a_saved_encoder_makes_the_same_features(second, encoders, model, other, tmp_path):
    encoders[0].save(str(tmp_path / "encoder"))
    loaded = FieldEncoderModel.load(str(tmp_path / "encoder"))
    assert loaded.layout == encoders[0].layout
    assert all(one.checksum for one in loaded.layout.fields)
    model.save(str(tmp_path / "model"))
    again = FMRegressionModel.load(str(tmp_path / "model"))
    assert again.fields == model.fields
    assert again.transform(loaded.transform(second)).count() == 300
    with pytest.raises(ValueError, match=other):
        again.transform(encoders[1].transform(second))


def test_features_are_compared_once(second, encoders, model, monkeypatch):
    copied = model.copy()
    rows = encoders[0].transform(second)
    copied.transform(rows)
    monkeypatch.setattr("spark_fm.base.named.layout_of", lambda *_: pytest.fail("compared again"))
    copied.transform(rows.select("features"))
    copied.copy().transform(encoders[0].transform(second.limit(3)))


def pysparks(rows):
    stages = [
        StringIndexer(inputCols=["user", "item"], outputCols=["u", "i"], handleInvalid="keep"),
        OneHotEncoder(inputCols=["u", "i"], outputCols=["reader", "film"]),
        VectorAssembler(inputCols=["reader", "film"], outputCol="features"),
    ]
    return Pipeline(stages=stages).fit(rows)


def test_pysparks_own_encoders(first, second):
    one, again = pysparks(first), pysparks(second)
    model = FMRegressor(**PARAMS, maxIter=5, keepOptimizerState=True).fit(one.transform(first))
    start = FMRegressor(**PARAMS, maxIter=0, initialModel=model, keepOptimizerState=True)
    found = start.fit(again.transform(second))
    assert by_name(found) == by_name(model)
    mine, theirs = (encoder.stages[0].labelsArray[0][0] for encoder in (one, again))
    told = f"^featuresCol: feature 0 is 'reader={mine}' in the model and 'reader={theirs}' in the column 'features'"
    with pytest.raises(ValueError, match=told):
        model.transform(again.transform(second))
    # Without the other columns, fields are found by names alone.
    assert model.transform(one.transform(second).select("features")).count() == 300
    kept = start.fit(one.transform(second).select("features", "rating"))
    np.testing.assert_array_equal(kept.weights.features, model.weights.features)


def test_places_of_categories_as_numbers(first, second):
    """Without OneHotEncoder what StringIndexer learned is in the values."""
    layouts = []
    for rows in (first, second):
        indexer = StringIndexer(inputCol="user", outputCol="u")
        stages = [indexer, VectorAssembler(inputCols=["u", "rating"], outputCol="features")]
        made = Pipeline(stages=stages).fit(rows).transform(rows)
        layouts.append(layout_of(made.select("features").schema, "features"))
    told = r"^the values of field 'u' are places among \d+ categories \(\w+\) in the model and places among"
    assert difference(layouts[0], layouts[0]) == ""
    assert re.match(told, difference(*layouts))
    with pytest.raises(ValueError, match=told):
        followed(layouts[0], np.arange(2), layouts[1])


def test_each_fold_has_its_own_encoder(second, model):
    stages = [FieldEncoder(fields=FIELDS), FMRegressor(**PARAMS, maxIter=1, initialModel=model)]
    grid = ParamGridBuilder().addGrid(stages[1].stepSize, [0.01, 0.1]).build()
    evaluator = RegressionEvaluator(labelCol="rating")
    tuned = TrainValidationSplit(
        estimator=Pipeline(stages=stages), estimatorParamMaps=grid, evaluator=evaluator, seed=1
    ).fit(second)
    assert max(tuned.validationMetrics) < 0.8
    _, start = stages
    encoded = FieldEncoder(fields=FIELDS).fit(second).transform(second)
    for _, found in start.fitMultiple(encoded, grid):
        assert rmse(found.transform(encoded)) < 0.8


def test_a_model_of_an_earlier_version_has_names_alone(spark):
    model = FMRegressionModel.load(str(Path(__file__).parent.parent / "data/format-3/FMRegressionModel"))
    rows = spark.createDataFrame([([0, 10], 1.0)], "features array<int>, label double")

    def named(**names):
        layout = model.fields.renumbered([], [])
        layout.names.update({int(i[1:]): name for i, name in names.items()})
        return rows.withColumn("features", F.col("features").alias("features", metadata=metadata_of(layout)))

    assert model.transform(named(f0="ann", f1="cem", f10="Noir")).count() == 1
    with pytest.raises(
        ValueError, match=r"^featuresCol: feature 3 is 'user=bob' in the model and 'user=ann' in the co"
    ):
        model.transform(named(f3="ann"))
