"""A model knows the fields of its features: from where, through saving and warm starts, and what they are for."""

import json

import numpy as np
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.tuning import ParamGridBuilder
from pyspark.sql import functions as F

from spark_fm import FMClassifier, FMRegressionModel, FMRegressor
from spark_fm.core.fm.fields import Field, FieldLayout
from spark_fm.core.fm.interactions import Moments
from spark_fm.engine.cluster.saved import SEAL

USERS, ITEMS = 12, 8
LAYOUT = FieldLayout(
    (Field("user", 0, USERS), Field("item", USERS, ITEMS), Field("age", USERS + ITEMS, 1, "numeric")),
    {i: f"u{i}" for i in range(USERS)} | {USERS + i: f"i{i}" for i in range(ITEMS - 1)} | {USERS + ITEMS: ""},
)


def metadata_of(layout):
    """What an encoder writes."""
    attrs = [{"idx": i, "name": layout.label(i)} for i in layout.names]
    return {
        "spark_fm": {"fields": layout.to_json(), "num_features": 21},
        "ml_attr": {"num_attrs": 21, "attrs": {"binary": attrs}},
    }


def with_fields(frame, layout=LAYOUT):
    return frame.withColumn("features", F.col("features").alias("features", metadata=metadata_of(layout)))


@pytest.fixture(scope="module")
def plain(spark):
    """600 rows of a user and an item, the first items being popular; the label is a product of tastes."""
    random = np.random.default_rng(0)
    users, items = random.integers(0, USERS, 600), np.minimum(random.geometric(0.3, 600) - 1, ITEMS - 1)
    taste = random.normal(size=(USERS + ITEMS, 2))
    label = (taste[users] * taste[USERS + items]).sum(axis=1) + random.normal(0.0, 0.1, 600)
    rows = [
        ([int(u), USERS + int(i)], float(y), float(y > 0))
        for u, i, y in zip(users, items, label, strict=True)
    ]
    frame = (
        spark.createDataFrame(rows, "features array<int>, label double, liked double").coalesce(2).persist()
    )
    frame.count()
    yield frame
    frame.unpersist()


@pytest.fixture(scope="module")
def named(plain):
    return with_fields(plain)


@pytest.fixture(scope="module")
def model(named):
    return FMRegressor(factorSize=2, maxIter=10, seed=1).fit(named)


def test_a_model_knows_the_fields_of_its_encoder(model):
    # The names of features that occur: no row has an age.
    assert model.fields == LAYOUT.among(range(USERS + ITEMS))
    assert model.copy().fields is model.fields


def test_without_metadata_there_are_none(plain):
    assert FMRegressor(maxIter=1).fit(plain).fields is None


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_fields_of_pysparks_encoders(spark, tmp_path):
    rows = [(f"u{i % 7}", "noir" if i % 3 else "sci_fi", float(i % 5), float(i % 7 < 3)) for i in range(200)]
    frame = spark.createDataFrame(rows, "name string, kind string, age double, label double").coalesce(1)
    stages = [
        StringIndexer(inputCols=["name", "kind"], outputCols=["name_index", "kind_index"]),
        OneHotEncoder(inputCols=["name_index", "kind_index"], outputCols=["user", "genre"]),
        VectorAssembler(inputCols=["user", "age", "genre"], outputCol="features"),
    ]
    fitted = Pipeline(stages=[*stages, FMClassifier(maxIter=2, explainCol="why")]).fit(frame)
    fields = fitted.stages[-1].fields
    assert [(one.name, one.first, one.size) for one in fields.fields] == [
        ("user", 0, 6),
        ("age", 6, 1),
        ("genre", 7, 1),
    ]
    assert fields.labels([0, 6, 7]) == [f"user={fitted.stages[0].labelsArray[0][0]}", "age", "genre=noir"]
    fitted.save(str(tmp_path / "pipeline"))
    loaded = PipelineModel.load(str(tmp_path / "pipeline"))
    assert loaded.stages[-1].fields == fields
    labels = {part.label for row in loaded.transform(frame).collect() for part in row.why}
    assert {"age", "genre=noir"} <= labels
    assert all("#" not in label for label in labels)


def test_fields_are_saved(spark, model, tmp_path):
    path = str(tmp_path / "saved")
    model.save(path)
    loaded = FMRegressionModel.load(path)
    assert loaded.fields == model.fields
    assert loaded.topInteractions(5).equals(model.topInteractions(5))
    assert loaded.importance().equals(model.importance())
    (folder,) = (p for p in tmp_path.glob("saved/data-*"))
    table = spark.read.parquet(str(folder)).orderBy("feature")
    labels = [row.label for row in table.collect()]
    # A feature without a name has none in the table, whatever it is called.
    assert labels == [f"user=u{i}" for i in range(USERS)] + [f"item=i{i}" for i in range(ITEMS - 1)] + [None]
    (line,) = (p.read_text() for p in tmp_path.glob("saved/metadata/part-*"))
    assert "user=u3" not in line


def test_damaged_fields_are_told(model, tmp_path):
    path = tmp_path / "saved"
    model.save(str(path))
    (part,) = path.glob("metadata/part-*")
    metadata = json.loads(part.read_text())
    metadata["fields"][0]["size"] = 0
    del metadata[SEAL]
    for old in path.glob("metadata/*"):
        old.unlink()
    for old in path.glob("metadata/.*"):
        old.unlink()
    (path / "metadata" / "part-00000").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match=r"is damaged: .*: field 'user': 0 ids from 0 on"):
        FMRegressionModel.load(str(path))


def test_warm_starts_keep_fields(plain, named, model):
    again = FMRegressor(factorSize=2, maxIter=1, initialModel=model)
    assert again.fit(plain).fields == model.fields
    fewer = with_fields(plain.where("features[0] > 5"), FieldLayout(LAYOUT.fields, {6: "u6"}))
    assert again.fit(fewer).fields == model.fields


def test_fit_multiple_knows_fields(named):
    estimator = FMRegressor(factorSize=2, maxIter=1)
    grid = ParamGridBuilder().addGrid(estimator.stepSize, [0.1, 0.2]).build()
    assert [model.fields for _, model in sorted(estimator.fitMultiple(named, grid))] == [
        LAYOUT.among(range(USERS + ITEMS))
    ] * 2


WAYS = [{"numPartitions": 1}, {"numPartitions": 2, "roundsPerEpoch": 2}]


@pytest.mark.parametrize("way", WAYS, ids=["one task", "rounds"])
def test_moments_are_those_of_the_training_rows(named, way):
    found = FMRegressor(factorSize=2, maxIter=2, **way).fit(named)._moments
    ids = np.array([row.features for row in named.collect()])
    share = np.array([(ids == i).any(axis=1).mean() for i in range(USERS + ITEMS)])
    assert isinstance(found, Moments)
    np.testing.assert_allclose(found.mean, share, rtol=1e-6)
    np.testing.assert_allclose(found.root_mean_square, np.sqrt(share), rtol=1e-6)


def sizes(model):
    """Mean size of what users and items have."""
    size = np.abs(model.weights.linear) + np.linalg.norm(model.weights.factors, axis=1)
    users = model.weights.features < USERS
    return size[users].mean(), size[~users].mean()


@pytest.mark.parametrize("way", WAYS, ids=["one task", "rounds"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_penalties_by_field(named, way):
    params = {"factorSize": 2, "maxIter": 10, "regParam": 0.05, "initStd": 0.3, "seed": 1} | way
    plain = FMRegressor(**params).fit(named)
    shrunk = FMRegressor(**params, regParamByField={"user": 40.0}).fit(named)
    assert sizes(shrunk)[0] < 0.5 * sizes(plain)[0]
    same = FMRegressor(**params, regParamByField={"user": 1.0}).fit(named)
    np.testing.assert_allclose(same.weights.factors, plain.weights.factors, rtol=1e-4, atol=1e-6)
    assert shrunk.getRegParamByField() == {"user": 40.0}


def test_the_priors_penalties_are_the_fields_too(named):
    params = {
        "factorSize": 2,
        "maxIter": 10,
        "regParamPrior": 3.0,
        "regParamLinear": 0.0,
        "regParamFactors": 0.0,
    }
    plain = FMRegressor(**params, initStd=0.3).fit(named)
    free = FMRegressor(**params, initStd=0.3, regParamByField={"user": 0.0}).fit(named)
    assert sizes(free)[0] > 1.5 * sizes(plain)[0]


def test_unknown_fields_are_told_before_anything_is_read(spark, plain, named):
    estimator = FMRegressor(regParamByField={"usr": 2.0})
    known = "the fields are: user, item, age, by the metadata of column 'features'"
    with pytest.raises(ValueError, match=f"^regParamByField: there is no field 'usr'; {known}$"):
        estimator.fit(named)
    with pytest.raises(ValueError, match="regParamByField: there is no field 'usr'; the fields are: none"):
        estimator.fit(plain)
    with pytest.raises(ValueError, match="there is no field 'usr'"):
        list(estimator.fitMultiple(named, [{}]))


@pytest.mark.parametrize(
    ("value", "error"), [({"user": -1.0}, ValueError), ({1: 1.0}, TypeError), ([1.0], TypeError)]
)
def test_penalties_that_are_none_are_refused(value, error):
    with pytest.raises(error, match="regParamByField"):
        FMRegressor(regParamByField=value)


@pytest.mark.parametrize("way", WAYS, ids=["one task", "rounds"])
def test_rare_features_have_no_factors(named, way):
    model = FMRegressor(factorSize=2, maxIter=5, minFactorCount=40, **way).fit(named)
    ids = np.array([row.features for row in named.collect()])
    counts = np.array([(ids == i).sum() for i in model.weights.features])
    rare = counts < 40
    assert 0 < rare.sum() < rare.size - 5
    assert (model.weights.factors[rare] == 0.0).all()
    assert (model.weights.linear[rare] != 0.0).all()
    assert (model.weights.factors[~rare] != 0.0).all()


@pytest.mark.parametrize(
    "way", [*WAYS, {"numPartitions": 1, "weightCol": "weight"}, {"numPartitions": 2, "weightCol": "weight"}]
)
@pytest.mark.parametrize("estimator", [FMRegressor, FMClassifier])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_nonnegative_models(named, way, estimator):
    rows = named.withColumn("weight", F.col("features")[0] + 0.5)
    label = {FMRegressor: "label", FMClassifier: "liked"}[estimator]
    params = {"factorSize": 3, "maxIter": 6, "labelCol": label, "seed": 1} | way
    model = estimator(**params, nonnegative=True).fit(rows)
    assert (model.weights.factors >= 0.0).all()
    assert (model.weights.linear >= 0.0).all()
    assert (model.weights.factors > 0.0).any()
    assert (estimator(**params).fit(rows).weights.factors < 0.0).any()


def test_dense_columns_of_a_nonnegative_model_are_not_centred(spark):
    random = np.random.default_rng(0)
    x = random.random((300, 2)) + np.array([5.0, 0.0])
    rows = [(row.tolist(), float(2.0 * row[0] + row[1] - 3.0 * row[0] * row[1])) for row in x]
    frame = spark.createDataFrame(rows, "features array<double>, label double")
    for partitions in (1, 2):
        model = FMRegressor(factorSize=2, maxIter=5, nonnegative=True, numPartitions=partitions).fit(frame)
        assert (model.weights.factors >= 0.0).all()
        assert (model.weights.linear >= 0.0).all()


def test_a_model_to_start_from_must_be_nonnegative_too(named, model):
    estimator = FMRegressor(factorSize=2, maxIter=2, nonnegative=True)
    with pytest.raises(ValueError, match=r"initialModel: found the parameter -\S+, expected none below 0"):
        estimator.copy({estimator.initialModel: model}).fit(named)
    first = estimator.fit(named)
    second = estimator.copy({estimator.initialModel: first}).fit(named)
    assert (second.weights.factors >= 0.0).all()
    assert (second.weights.linear >= 0.0).all()
