"""The stages of the pipeline that a config describes: encoders, then the Factorization Machine."""

from collections.abc import Mapping
from typing import Any

from pyspark.ml import Transformer
from pyspark.ml.base import Estimator
from pyspark.ml.classification import FMClassifier as SparkFMClassifier
from pyspark.ml.feature import FeatureHasher, OneHotEncoder, SQLTransformer, StringIndexer, VectorAssembler
from pyspark.ml.regression import FMRegressor as SparkFMRegressor
from pyspark.sql.types import StructType

from spark_fm.classification import FMClassifier
from spark_fm.cli.cells import category, number
from spark_fm.cli.config import Columns, Config, required
from spark_fm.engine.encoding.canonical import kind_of
from spark_fm.engine.packing.columns import quoted
from spark_fm.feature import FieldEncoder
from spark_fm.regression import FMRegressor

INTERNAL = "__spark_fm_"
FEATURES = f"{INTERNAL}features"
LABEL = f"{INTERNAL}label"
Stage = Estimator[Any] | Transformer

# These come from [columns], and a model can't be written in TOML.
NOT_IN_PARAMS = ("featuresCol", "labelCol", "weightCol", "validationIndicatorCol", "initialModel")


def encoders(config: Config, schema: StructType) -> list[Stage]:
    """The stages that make the features column; none when the config names a ready one.

    Of [[fields]] it is a FieldEncoder; with [compare.spark] it makes vectors, because pyspark.ml reads nothing else.
    """
    if config.fields:
        form = "vector" if config.compare.spark else "auto"
        return [
            FieldEncoder(
                fields=list(config.fields), outputCol=FEATURES, outputType=form, coldCol=config.columns.cold
            )
        ]
    return _of_columns(config.columns, schema)


def _of_columns(columns: Columns, schema: StructType) -> list[Stage]:
    """The stages for [columns].

    The first of them puts the user's columns under names that pyspark.ml takes: it reads dots and backticks as syntax.
    An empty cell is a category of its own. A category that training has not met has no feature: it contributes
    nothing to a score. A number that is none ends the query with one sentence.
    """
    if columns.features:
        return []
    categories = [f"{INTERNAL}category_{i}" for i in range(len(columns.categorical))]
    numbers = [f"{INTERNAL}number_{i}" for i in range(len(columns.numeric))]
    cells = [category(name, kind_of(schema[name])) for name in columns.categorical]
    cells += [number(name, columns.fill) for name in columns.numeric]
    stages: list[Stage] = [_selecting(dict(zip(categories + numbers, cells, strict=True)))]
    if columns.encoder == "hash":
        hasher = FeatureHasher(
            inputCols=categories + numbers,
            categoricalCols=categories,
            numFeatures=columns.numFeatures,
            outputCol=FEATURES,
        )
        return [*stages, hasher]
    indices = [name.replace("category", "index") for name in categories]
    onehot = [name.replace("category", "onehot") for name in categories]
    if categories:
        # `keep` gives unknown categories the last index, which OneHotEncoder then drops.
        stages += [
            StringIndexer(inputCols=categories, outputCols=indices, handleInvalid="keep"),
            OneHotEncoder(inputCols=indices, outputCols=onehot),
        ]
    return [*stages, VectorAssembler(inputCols=onehot + numbers, outputCol=FEATURES)]


def _selecting(columns: Mapping[str, str]) -> SQLTransformer:
    """A stage that adds columns, given as SQL by name."""
    added = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    return SQLTransformer(statement=f"SELECT *, {added} FROM __THIS__")


def estimator_of(config: Config) -> FMClassifier | FMRegressor:
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
    features = config.columns.features or FEATURES
    estimator: FMClassifier | FMRegressor = cls(featuresCol=features, labelCol=config.columns.label, **params)
    # Which metrics judge depends on the task: fit would tell only after the rows were read.
    estimator._settings()
    return estimator


def sparks_own(config: Config) -> list[Stage]:
    """pyspark.ml's Factorization Machine with the params of [compare.spark], behind a stage that gives its columns
    names that it takes; nothing when there are no params.

    Raises
    ------
    ValueError, TypeError
        As of :func:`estimator_of`.
    """
    if not config.compare.spark:
        return []
    cls: Any = SparkFMClassifier if config.task == "classification" else SparkFMRegressor
    params = _known(cls(), config.compare.spark, "compare.spark")
    columns = {LABEL: f"CAST({quoted(config.columns.label)} AS DOUBLE)"}
    if config.columns.features:
        columns[FEATURES] = quoted(config.columns.features)
    return [_selecting(columns), cls(featuresCol=FEATURES, labelCol=LABEL, **params)]


def _known(estimator: Any, params: Mapping[str, Any], table: str) -> dict[str, Any]:
    names = [param.name for param in estimator.params if param.name not in NOT_IN_PARAMS]
    for name in params:
        if name in NOT_IN_PARAMS:
            raise ValueError(f"{table}.{name}: found in the config, expected columns in [columns] only")
        if name not in names:
            raise ValueError(f"{table}.{name}: unknown param, expected one of: {', '.join(names)}")
    return dict(params)
