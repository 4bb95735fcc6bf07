"""Damaged and foreign folders load as if nothing had happened, or are refused in one sentence that names the folder.

All ways of `tests/ml/damage.py`: `make test-exhaustive`; here 30 of them for each kind of folder.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.ml import PipelineModel
from pyspark.ml.recommendation import ALS
from pyspark.ml.regression import LinearRegression
from pyspark.sql import functions as F

from spark_fm import FMClassificationModel, FMClassifier, FMRegressionModel, FMRegressor
from spark_fm.cli.model import load_model
from spark_fm.feature import FieldEncoder, FieldEncoderModel, buckets, categorical
from tests.ml.damage import state, ways

TRIES = 30
RAW = re.compile(r"\n|\bat (java|org)\.|Traceback|py4j|JavaError|Exception\b")
LOADERS: dict[str, Callable[[Any, str], Any]] = {
    "regression": lambda _, path: FMRegressionModel.load(path),
    "gibbs": lambda _, path: FMRegressionModel.load(path),
    "classification": lambda _, path: FMClassificationModel.load(path),
    "estimator": lambda _, path: FMRegressor.load(path),
    "encoder": lambda _, path: FieldEncoderModel.load(path),
    "pipeline": load_model,
}


@pytest.fixture(scope="module")
def table(spark):
    rows = spark.range(120).select(
        F.concat(F.lit("u"), F.col("id") % 5).alias("user"),
        (F.col("id") % 7).alias("film"),
        F.rand(1).alias("age"),
        (F.col("id") % 4).cast("double").alias("label"),
    )
    return rows.coalesce(1)


@pytest.fixture(scope="module")
def saved(spark, table, tmp_path_factory):
    """Folders of saved instances by name: those of LOADERS, and foreign ones."""
    root = tmp_path_factory.mktemp("saved")
    encoder = FieldEncoder(fields=[categorical("user"), categorical("film"), buckets("age", n=3)]).fit(table)
    rows = encoder.transform(table).persist()
    regressor = FMRegressor(factorSize=2, maxIter=2, seed=1)
    regression = regressor.fit(rows)
    labelled = rows.withColumn("label", (F.col("label") > 1).cast("double"))
    made = {
        "regression": regression,
        "another": regressor.copy({regressor.seed: 2}).fit(rows),
        "gibbs": FMRegressor(solver="gibbs", maxIter=6, factorSize=2, predictionStdCol="sd").fit(rows),
        "classification": FMClassifier(factorSize=2, maxIter=2).fit(labelled),
        "estimator": FMRegressor(factorSize=2, initialModel=regression),
        "encoder": encoder,
        "another encoder": FieldEncoder(fields=[categorical("film"), categorical("user")]).fit(table),
        "pipeline": PipelineModel([encoder, regression]),
        "pyspark's line": LinearRegression(maxIter=1).fit(
            FieldEncoder(fields=[categorical("user")], outputType="vector").fit(table).transform(table)
        ),
        "pyspark's ALS": ALS(userCol="film", itemCol="film", ratingCol="label", maxIter=1).fit(table),
    }
    for name, one in made.items():
        one.save(str(root / name))
    table.write.parquet(str(root / "a table"))
    rows.unpersist()
    return {path.name: path for path in root.iterdir()}


def outcome(spark, name: str, path: Path, expected: Any) -> str:
    """What is wrong with what loading a damaged folder comes to; empty where nothing is."""
    try:
        found = state(LOADERS[name](spark, str(path)))
    except (ValueError, FileNotFoundError) as error:
        text = str(error)
        return (
            ""
            if str(path) in text and not RAW.search(text)
            else f"no sentence: {type(error).__name__}: {text[:300]}"
        )
    except Exception as error:
        return f"raw {type(error).__name__}: {str(error)[:200]}"
    return "" if found == expected else "loaded as something else"


def wrong(spark, name: str, saved: dict[str, Path], tmp_path: Path, tries: int | None) -> dict[str, str]:
    expected = state(LOADERS[name](spark, str(saved[name])))
    others = {other: path for other, path in saved.items() if other != name}
    found = {}
    all_ways = list(ways(saved[name], others))
    assert len({way.name for way in all_ways}) == len(all_ways)
    step = 1 if tries is None else -(-len(all_ways) // tries)
    for way in all_ways[::step]:
        path = tmp_path / "folder"
        shutil.copytree(saved[name], path)
        way.do(path)
        what = outcome(spark, name, path, expected)
        if what:
            found[way.name] = what
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return found


@pytest.mark.parametrize("name", LOADERS)
def test_damaged_folders(spark, saved, tmp_path, name):
    assert wrong(spark, name, saved, tmp_path, TRIES) == {}


@pytest.mark.exhaustive
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", LOADERS)
def test_all_ways_of_damage(spark, saved, tmp_path, name):
    assert wrong(spark, name, saved, tmp_path, None) == {}
