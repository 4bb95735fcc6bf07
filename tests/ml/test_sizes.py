"""Rows, features and plans of unusual size or shape: they work, or are refused in one sentence."""

import math
import subprocess
import sys
from textwrap import dedent

import numpy as np
import pytest
from pyspark.ml.linalg import SparseVector, Vectors
from pyspark.sql import functions as F

from spark_fm import FMRegressionModel, FMRegressor
from tests.ml.frames import IDS, assert_same_weights

WAYS = {
    "one task": {"numPartitions": 1},
    "decided": {"numPartitions": 0},
    "rounds": {"numPartitions": 3, "roundsPerEpoch": 2, "maxIter": 8},
    "gibbs": {"solver": "gibbs", "maxIter": 30},
    "gibbs in rounds": {"solver": "gibbs", "maxIter": 6, "numPartitions": 2},
}


@pytest.fixture(scope="module")
def skewed(spark):
    """900 rows in one partition, 100 in three others, and 200 empty partitions."""
    parts = [
        spark.range(0, 900, 1, 1),
        spark.range(900, 1000, 1, 3),
        spark.range(0, 200, 1, 200).where("id < 0"),
    ]
    ids = parts[0].union(parts[2]).union(parts[1])
    user, item = F.col("id") % 10, F.floor(F.col("id") / 10) % 7
    rows = ids.select(F.array(user, 10 + item).alias("features"), (F.sin(user) + F.cos(item)).alias("label"))
    assert rows.rdd.getNumPartitions() == 204
    return rows


@pytest.mark.parametrize("way", WAYS)
def test_skew_and_empty_partitions(skewed, way):
    model = FMRegressor(factorSize=2, **WAYS[way]).fit(skewed)
    assert model.summary.rows == 1000
    assert model.evaluate(skewed.coalesce(2)).rootMeanSquaredError < 0.2


LONG = 100_000


@pytest.fixture(scope="module")
def one_long_row(spark):
    short = [(Vectors.sparse(2 * LONG, [i % 9, 9 + i % 5], [1.0, 1.0]), float(i % 9)) for i in range(300)]
    long = Vectors.sparse(2 * LONG, np.arange(0, 2 * LONG, 2), np.full(LONG, 1.0))
    return spark.createDataFrame([*short, (long, 3.0)], ["features", "label"]).coalesce(2)


@pytest.mark.parametrize("way", ["one task", "rounds"])
def test_one_row_of_100_000_non_zeros(one_long_row, way):
    model = FMRegressor(factorSize=2, **(WAYS[way] | {"maxIter": 3})).fit(one_long_row)
    assert model.summary.nonzeros == 600 + LONG
    scored = model.transform(one_long_row).collect()
    assert all(math.isfinite(row.prediction) for row in scored)
    (long,) = (row for row in scored if len(row.features.indices) == LONG)
    assert model.predict(long.features) == pytest.approx(long.prediction, rel=1e-6)


@pytest.mark.parametrize("way", ["gibbs", pytest.param("gibbs in rounds", marks=pytest.mark.exhaustive)])
def test_the_sampler_refuses_a_row_of_more_features_than_it_tells_apart(one_long_row, way):
    with pytest.raises(ValueError, match=r"^solver: 'gibbs' draws field by field, and no 256 ranges"):
        FMRegressor(factorSize=2, **WAYS[way]).fit(one_long_row)


def test_parts_of_a_row_of_100_000_non_zeros(one_long_row):
    model = FMRegressor(factorSize=2, maxIter=2, explainCol="parts", explainTop=3).fit(one_long_row)
    long = one_long_row.where("label = 3").orderBy(F.desc(F.length(F.col("features").cast("string")))).first()
    with pytest.raises(
        ValueError, match=r"^explain: the row has 100000 features with parameters, expected at most"
    ):
        model.explain(long.features)
    for row in model.transform(one_long_row).select("parts").collect():
        assert len(row.parts) <= 4


WIDEST = 2**31 - 1


def everything(model, rows, path):
    """A model comes back from disk as it was, and scores and explains rows to the same numbers."""
    model.save(str(path))
    loaded = FMRegressionModel.load(str(path))
    assert_same_weights(loaded, model)
    for row in loaded.transform(rows).collect():
        assert model.predict(row.features) == pytest.approx(row.prediction, abs=1e-6)
        assert model.explain(row.features).score == pytest.approx(row.prediction, abs=1e-5)
    return loaded


@pytest.mark.parametrize("way", WAYS)
def test_vectors_of_the_largest_size(spark, tmp_path, way):
    data = [(SparseVector(WIDEST, [i % 5, WIDEST - 1 - i % 3], [1.0, 1.0]), float(i % 5)) for i in range(60)]
    rows = spark.createDataFrame(data, ["features", "label"]).coalesce(1)
    model = FMRegressor(factorSize=2, **(WAYS[way] | {"maxIter": 4})).fit(rows)
    assert everything(model, rows, tmp_path / "model").numFeatures == WIDEST


@pytest.mark.parametrize("way", WAYS)
def test_ids_of_any_size(spark, tmp_path, way):
    largest = 2**62 if WAYS[way].get("numPartitions") else 2**63 - 2
    data = [([i % 5, largest - i % 3], float(i % 5)) for i in range(60)]
    rows = spark.createDataFrame(data, "features array<bigint>, label double").coalesce(1)
    model = FMRegressor(factorSize=2, **(WAYS[way] | {"maxIter": 4})).fit(rows)
    assert everything(model, rows, tmp_path / "model").numFeatures == largest + 1


@pytest.mark.parametrize("name", ["linear", "factors"])
def test_dense_parameters_of_too_many_features_are_refused(spark, name):
    rows = spark.createDataFrame(
        [([i % 5, 2**62], float(i % 5)) for i in range(20)], "features array<bigint>, label double"
    )
    model = FMRegressor(factorSize=2, maxIter=1).fit(rows)
    with pytest.raises(ValueError, match=rf"^{name}: the model has {2**62 + 1} features, .* weights"):
        getattr(model, name)


@pytest.mark.parametrize("way", ["one task", "rounds"])
def test_long_lineage(spark, way):
    rows = spark.createDataFrame([([i % 5, 5 + i % 3], float(i % 5)) for i in range(60)], IDS)
    for _ in range(200):
        rows = rows.withColumn("label", F.col("label") + 1.0)
    for _ in range(4):
        rows = rows.union(rows)
    model = FMRegressor(factorSize=2, **(WAYS[way] | {"maxIter": 3})).fit(rows)
    assert model.summary.rows == 960
    assert model.transform(rows).agg(F.avg("prediction")).first()[0] == pytest.approx(202.0, abs=0.1)


TOO_LITTLE = """
import sys
from pyspark.sql import SparkSession
from spark_fm import FMRegressor

builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
spark = builder.config("spark.executor.pyspark.memory", sys.argv[1]).getOrCreate()
spark.sparkContext.setLogLevel("OFF")
made = [(float(i % 5), [i % 7, 10 + i % 3]) for i in range(60)]
try:
    FMRegressor(maxIter=2).fit(spark.createDataFrame(made, "label double, features array<int>"))
    print("fitted")
except RuntimeError as error:
    print(f"refused: {error}")
"""


@pytest.mark.parametrize("memory", ["256m", pytest.param("64m", marks=pytest.mark.slow)])
def test_too_little_memory_for_the_workers_python(memory):
    ran = subprocess.run(
        [sys.executable, "-c", dedent(TOO_LITTLE), memory],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    said = ran.stdout.strip().splitlines()[-1]
    assert said.startswith("refused: the workers' Python ran out of memory"), ran.stdout
    assert f"spark.executor.pyspark.memory is {memory}" in said
