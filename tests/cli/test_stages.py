"""The pipeline's stages."""

from typing import Any

import pytest
from pyspark.ml import Pipeline
from pyspark.sql import SparkSession
from pyspark.sql.types import StructType

from spark_fm.classification import FMClassifier
from spark_fm.cli.config import Columns, Compare, Config
from spark_fm.cli.stages import FEATURES, encoders, estimator_of, sparks_own
from spark_fm.regression import FMRegressor

ROWS = [("a", 1.0, True), ("b", 2.0, False), ("a", 3.0, None)]
NEW = [("a", 5.0, True), ("c", 0.0, None), (None, 7.0, False)]
SCHEMA = "site string, bid double, mobile boolean"


def encoded(spark: SparkSession, columns: Columns) -> list[Any]:
    rows = spark.createDataFrame(ROWS, SCHEMA)
    fitted = Pipeline(stages=encoders(Config(columns=columns), rows.schema)).fit(rows)
    return [row[0] for row in fitted.transform(spark.createDataFrame(NEW, SCHEMA)).select(FEATURES).collect()]


def test_onehot_gives_unseen_and_null_categories_no_feature(spark: SparkSession) -> None:
    known, unseen, null = encoded(spark, Columns(categorical=("site",), numeric=("bid",)))
    assert known.toArray().tolist() == [1.0, 0.0, 5.0]
    assert unseen.toArray().tolist() == [0.0, 0.0, 0.0]
    assert null.toArray().tolist() == [0.0, 0.0, 7.0]


def test_hash_needs_no_dictionary(spark: SparkSession) -> None:
    columns = Columns(categorical=("site", "mobile"), numeric=("bid",), encoder="hash", numFeatures=1024)
    known, unseen, null = encoded(spark, columns)
    assert known.size == 1024
    assert sorted(known.values.tolist()) == [1.0, 1.0, 5.0]
    assert sum(unseen.values) == 2.0  # features of two cells, one of them empty
    assert sorted(null.values.tolist()) == [1.0, 1.0, 7.0]


def test_a_ready_column_needs_no_encoder() -> None:
    assert encoders(Config(columns=Columns(features="ids")), StructType()) == []
    assert estimator_of(Config(task="regression", columns=Columns(features="ids"))).getFeaturesCol() == "ids"


def test_the_estimator_has_the_params_and_the_columns() -> None:
    columns = Columns(label="click", categorical=("site",), weight="w", validation="v")
    estimator = estimator_of(
        Config(task="classification", columns=columns, params={"factorSize": 3, "normalize": True})
    )
    assert isinstance(estimator, FMClassifier)
    assert (estimator.getFactorSize(), estimator.getNormalize()) == (3, True)
    assert (estimator.getLabelCol(), estimator.getWeightCol()) == ("click", "w")
    assert estimator.getValidationIndicatorCol() == "v"


def test_without_params_the_estimator_has_its_defaults() -> None:
    assert isinstance(estimator_of(Config(task="regression")), FMRegressor)
    assert sparks_own(Config(task="regression")) == []


@pytest.mark.parametrize(
    ("config", "error", "sentence"),
    [
        (Config(), ValueError, 'task: missing, expected "regression" or "classification"'),
        (
            Config(task="regression", params={"factorsize": 3}),
            ValueError,
            "params.factorsize: unknown param, expected one of: .*factorSize",
        ),
        (
            Config(task="regression", params={"labelCol": "y"}),
            ValueError,
            r"params.labelCol: .*expected columns in \[columns\] only",
        ),
        (
            Config(task="regression", params={"factorSize": -3}),
            ValueError,
            "factorSize: found -3, expected an integer >= 0",
        ),
        (
            Config(task="regression", params={"validationMetric": "areaUnderROC"}),
            ValueError,
            "validationMetric: found 'areaUnderROC', expected one of: loss, rmse, mae",
        ),
        (Config(task="regression", params={"maxIter": "many"}), TypeError, "maxIter"),
    ],
)
def test_estimator_errors(config: Config, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        estimator_of(config)


def test_params_of_sparks_own_are_checked_too(spark: SparkSession) -> None:
    with pytest.raises(
        ValueError, match=r"compare.spark.patience: unknown param, expected one of: .*miniBatchFraction"
    ):
        sparks_own(Config(task="regression", compare=Compare(spark={"patience": 3})))
