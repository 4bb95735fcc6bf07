"""A model must not depend on what became of the cache: each way to train, its blocks refused, cleared or lost."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pandas as pd
import pytest
from pyspark.errors import PySparkException
from pyspark.ml import Pipeline
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import functions as F

from spark_fm import FMRegressor
from spark_fm.engine.cluster import kept
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.training import adagrad, store
from spark_fm.engine.training.rounds import RoundsRunner
from tests.ml.frames import assert_same_weights

SETTINGS = {"factorSize": 2, "maxIter": 2, "seed": 1}
WAYS = ["one task", "RDD", "frames", "executors"]


@pytest.fixture
def rows(spark):
    """1,200 rows in four partitions, with features of their own in each; not persisted."""
    user = F.pmod(F.xxhash64(F.lit(1), "id"), F.lit(40)) + 40 * F.floor(F.col("id") / 300)
    item = F.pmod(F.xxhash64(F.lit(2), "id"), F.lit(30)) + 200
    frame = spark.range(0, 1200, 1, 4).select(F.array(user.cast("int"), item.cast("int")).alias("features"))
    return frame.withColumn("label", F.sin(F.col("features")[0] * 1.3) + F.cos(F.col("features")[1] * 0.9))


@pytest.fixture(params=WAYS)
def way(request):
    return request.param


@pytest.fixture
def estimator(way, monkeypatch):
    """An estimator whose fits take one of the ways to train."""
    if way == "frames":
        monkeypatch.setattr(store, "is_connect", lambda spark: True)
    if way == "executors":
        monkeypatch.setattr(adagrad, "most_to_collect", lambda limits: 0)
    return FMRegressor(numPartitions=1 if way == "one task" else 2, roundsPerEpoch=2, **SETTINGS)


@pytest.fixture(scope="module")
def models():
    return {}


@pytest.fixture
def quiet(way, estimator, rows, models):
    """The model of a fit that nothing disturbs."""
    if way not in models:
        models[way] = estimator.fit(rows)
    return models[way]


def unpersist_all(spark):
    spark.catalog.clearCache()
    for rdd in spark.sparkContext._jsc.getPersistentRDDs().values():
        rdd.unpersist(True)


def drop_blocks(spark):
    """As when the executor that had them dies: they are still to be persisted."""
    for rdd in spark.sparkContext._jsc.getPersistentRDDs().values():
        level = rdd.getStorageLevel()
        rdd.unpersist(True)
        rdd.persist(level)


def after(monkeypatch, owner, name, action):
    """Do something after each call of a function."""
    function = getattr(owner, name)

    def wrapped(*args, **kwargs):
        result = function(*args, **kwargs)
        action()
        return result

    monkeypatch.setattr(owner, name, wrapped)


def test_persist_is_refused(way, estimator, rows, quiet, monkeypatch):
    def refused(*args, **kwargs):
        raise PySparkException("[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE is not supported")

    monkeypatch.setattr(type(rows), "persist", refused)
    if way == "one task":
        assert_same_weights(estimator.fit(rows), quiet)
    else:
        told = "this cluster refuses to cache, so that every round reads"
        with pytest.warns(UserWarning, match=f"cacheDir: {told}") if way != "RDD" else nullcontext():
            assert_same_weights(estimator.fit(rows), quiet)


@pytest.mark.parametrize("lose", [unpersist_all, drop_blocks])
@pytest.mark.parametrize(("owner", "name"), [(PackedData, "of"), (RoundsRunner, "run")])
def test_blocks_are_lost(spark, estimator, rows, quiet, monkeypatch, persisted, lose, owner, name):
    after(monkeypatch, owner, name, lambda: lose(spark))
    before = persisted()
    assert_same_weights(estimator.fit(rows), quiet)
    assert persisted() <= before


def test_another_fit_of_the_same_rows_between(estimator, rows, quiet, persisted):
    before = persisted()
    models = estimator.fitMultiple(rows, [{}, {}])
    next(models)
    estimator.fit(rows)
    assert_same_weights(next(models)[1], quiet)
    assert persisted() == before


def test_four_fits_in_threads(estimator, rows, quiet, persisted):
    before = persisted()
    with ThreadPoolExecutor(4) as pool:
        for model in pool.map(lambda _: estimator.fit(rows), range(4)):
            assert_same_weights(model, quiet)
    assert persisted() == before


@pytest.mark.parametrize("way", ["one task", "RDD"])
@pytest.mark.parametrize("in_pipeline", [True, False])
def test_cross_validation_in_threads(estimator, rows, persisted, in_pipeline):
    before = persisted()
    search = CrossValidator(
        estimator=Pipeline(stages=[estimator]) if in_pipeline else estimator,
        estimatorParamMaps=ParamGridBuilder().addGrid(estimator.stepSize, [0.05, 0.1]).build(),
        evaluator=RegressionEvaluator(),
        numFolds=2,
        seed=3,
    )
    found = search.setParallelism(4).fit(rows).avgMetrics
    assert found == search.setParallelism(1).fit(rows).avgMetrics
    assert persisted() == before


@pytest.mark.parametrize("way", ["one task", "RDD"])
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("spark.sql.execution.arrow.maxRecordsPerBatch", "3"),
        ("spark.sql.execution.arrow.maxBytesPerBatch", "64"),
    ],
)
def test_arrow_batches_of_any_size(spark, estimator, rows, quiet, setting, value):
    spark.conf.set(setting, value)
    try:
        assert_same_weights(estimator.fit(rows), quiet)
    finally:
        spark.conf.unset(setting)


@pytest.mark.parametrize("changed", ["label", "features", "rows"])
def test_input_that_changes_between_two_computations(spark, estimator, tmp_path, monkeypatch, changed):
    """Where nothing is cached, rows that depend on a file are as those of a table that somebody writes to."""
    file = tmp_path / "shift"
    file.write_text("0")

    def made(frames):
        shift = int(file.read_text())
        for frame in frames:
            ids = frame["id"][: len(frame) - shift if changed == "rows" else None]
            label = (ids % 5 + (shift if changed == "label" else 0)).astype(float)
            features = [[int(i % 7) + (shift if changed == "features" else 0)] for i in ids]
            yield pd.DataFrame({"features": features, "label": label})

    frame = spark.range(0, 400, 1, 2).mapInPandas(made, "features array<int>, label double")
    monkeypatch.setattr(kept, "tried_to_persist", lambda frame: True)
    after(monkeypatch, PackedData, "of", lambda: file.write_text("1"))
    with pytest.raises(RuntimeError, match="the input changed between two computations") as caught:
        estimator.fit(frame)
    assert "\n" not in str(caught.value)


def test_rows_that_lie_in_the_query_itself(spark, estimator, rows):
    """Spark computes their partition's number beforehand: 0 for all, although they are in several."""
    spark.conf.set("spark.sql.execution.arrow.pyspark.enabled", "true")
    try:
        pandas = pd.DataFrame([row.asDict() for row in rows.collect()])
        local = spark.createDataFrame(pandas, rows.schema)
    finally:
        spark.conf.unset("spark.sql.execution.arrow.pyspark.enabled")
    assert_same_weights(estimator.fit(local), estimator.fit(rows.coalesce(1)))
