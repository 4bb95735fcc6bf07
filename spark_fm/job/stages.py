"""The stages of the pipeline that a config describes: encoders, then the Factorization Machine."""

from collections.abc import Mapping
from typing import Any

from pyspark.ml import Transformer
from pyspark.ml.base import Estimator
from pyspark.ml.classification import FMClassifier as SparkFMClassifier
from pyspark.ml.feature import FeatureHasher, OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.regression import FMRegressor as SparkFMRegressor

from spark_fm.classification import FMClassifier
from spark_fm.job.config import Columns, Config, required
from spark_fm.regression import FMRegressor

FEATURES = "__spark_fm_features"
Stage = Estimator[Any] | Transformer

# These come from [columns], and a model can't be written in TOML.
NOT_IN_PARAMS = ("featuresCol", "labelCol", "weightCol", "validationIndicatorCol", "initialModel")


def encoders(columns: Columns) -> list[Stage]:
    """The stages that make the features column; none when the config names a ready one.

    A category that training has not met, or a null, has no features: it contributes nothing to a score.
    """
    categorical, numeric = list(columns.categorical), list(columns.numeric)
    if columns.features:
        return []
    if columns.encoder == "hash":
        return [
            FeatureHasher(
                inputCols=categorical + numeric,
                categoricalCols=categorical,
                numFeatures=columns.numFeatures,
                outputCol=FEATURES,
            )
        ]
    indices = [f"__spark_fm_index_{name}" for name in categorical]
    onehot = [f"__spark_fm_onehot_{name}" for name in categorical]
    stages: list[Stage] = []
    if categorical:
        # `keep` gives unknown categories the last index, which OneHotEncoder then drops.
        stages += [
            StringIndexer(inputCols=categorical, outputCols=indices, handleInvalid="keep"),
            OneHotEncoder(inputCols=indices, outputCols=onehot),
        ]
    return [*stages, VectorAssembler(inputCols=onehot + numeric, outputCol=FEATURES)]


def machine(config: Config) -> FMClassifier | FMRegressor:
    """The estimator with the config's columns and params.

    Raises
    ------
    ValueError, TypeError
        When the task is missing, or a param is unknown or has a value that it does not take.
    """
    task = required(config.task, "task", '"regression" or "classification"')
    cls: Any = FMClassifier if task == "classification" else FMRegressor
    params = _known(cls(), config.params, "params")
    if config.columns.weight:
        params["weightCol"] = config.columns.weight
    if config.columns.validation:
        params["validationIndicatorCol"] = config.columns.validation
    estimator: FMClassifier | FMRegressor = cls(**_ends(config.columns), **params)
    return estimator


def sparks_own(config: Config) -> SparkFMClassifier | SparkFMRegressor | None:
    """pyspark.ml's Factorization Machine with the params of [compare.spark]; None when there are none.

    Raises
    ------
    ValueError, TypeError
        As of :func:`machine`.
    """
    if not config.compare.spark:
        return None
    cls: Any = SparkFMClassifier if config.task == "classification" else SparkFMRegressor
    params = _known(cls(), config.compare.spark, "compare.spark")
    estimator: SparkFMClassifier | SparkFMRegressor = cls(**_ends(config.columns), **params)
    return estimator


def _ends(columns: Columns) -> dict[str, str]:
    return {"featuresCol": columns.features or FEATURES, "labelCol": columns.label}


def _known(estimator: Any, params: Mapping[str, Any], table: str) -> dict[str, Any]:
    names = [param.name for param in estimator.params if param.name not in NOT_IN_PARAMS]
    for name in params:
        if name in NOT_IN_PARAMS:
            raise ValueError(f"{table}.{name}: found in the config, expected columns in [columns] only")
        if name not in names:
            raise ValueError(f"{table}.{name}: unknown param, expected one of: {', '.join(names)}")
    return dict(params)
