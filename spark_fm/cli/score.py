"""The scoring job."""

import logging
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_fm.cli.checks import check_places, check_settings
from spark_fm.cli.command import Steps
from spark_fm.cli.config import Config, required
from spark_fm.cli.metrics import positive_probability
from spark_fm.cli.model import load_model
from spark_fm.cli.output import is_wanted, write
from spark_fm.cli.read import check_new_columns, read
from spark_fm.cli.unknown import Unknown
from spark_fm.engine.packing.columns import quoted
from spark_fm.feature import FieldEncoderModel

logger = logging.getLogger("spark_fm.cli")


def score(spark: SparkSession, config: Config) -> None:
    """Load a model, read rows, and write them with their predictions; the log says where the model knows no value.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        In one sentence, what the user can mend.
    """
    steps = Steps()
    check_settings(config)
    path = required(config.model.path, "model.path", "the folder of a saved model")
    check_places(spark, config)
    if not is_wanted(spark, config.output):
        return
    with steps.step("load the model"):
        model = load_model(spark, path)
    fm: Any = model.stages[-1]
    with steps.step("read"):
        rows = read(spark, config.input)
        check_new_columns(rows, output_columns(fm), cold_column(model))
        check_features(rows, fm)
    unknown = Unknown()
    scored = scored_rows(model, rows, unknown)
    with steps.step(f"score and write to {config.output.path or config.output.table}"):
        written = write(scored, config.output)
    logger.info("rows: %d", written)
    unknown.log(written)


def output_columns(fm: Any) -> list[str]:
    """The columns that a Factorization Machine adds; an empty name is one that is suppressed."""
    names: list[str] = fm._output_columns()
    return names


def cold_column(model: PipelineModel) -> str:
    """The column that marks cold rows, which an encoder of fields adds; empty where none is."""
    found = [stage.getColdCol() for stage in model.stages if isinstance(stage, FieldEncoderModel)]
    return found[0] if found else ""


def check_features(rows: DataFrame, fm: Any) -> None:
    """Check that a ready features column has the size and the features that the model was trained on, where its
    metadata tell them, as those of a libsvm file or an encoder's do.

    Raises
    ------
    ValueError
        When it has others.
    """
    name = fm.getFeaturesCol()
    if name not in rows.columns:
        return
    found = rows.schema[name].metadata.get("numFeatures")
    if found is not None and found != fm.numFeatures:
        raise ValueError(
            f"input: the vectors in column {name!r} have {found} features, the model has {fm.numFeatures}; a "
            f"libsvm file is read with input.options = {{ numFeatures = {fm.numFeatures} }}"
        )
    fm._check_names(rows, name, "input")


def scored_rows(model: PipelineModel, rows: DataFrame, unknown: Unknown | None = None) -> DataFrame:
    """The columns of ``rows`` and the predictions as numbers, which any format can hold.

    The column of the prediction, and of a classifier that of the probability, which is P(label = 1) here. Then what the
    model was trained with: the reasons, an array (explainCol), the deviations (predictionStdCol), and which rows are
    cold (columns.cold).

    Parameters
    ----------
    unknown : counts the rows without a known value in a field
    """
    fm: Any = model.stages[-1]
    outputs = [F.col(quoted(fm.getPredictionCol()))]
    if hasattr(fm, "getProbabilityCol"):
        outputs.append(positive_probability(fm).alias(fm.getProbabilityCol()))
    more = [fm.getExplainCol(), fm.getPredictionStdCol() if hasattr(fm, "getPredictionStdCol") else ""]
    more.append(cold_column(model))
    outputs += [F.col(quoted(name)) for name in more if name]
    made = unknown.transformed(model.stages, rows) if unknown else model.transform(rows)
    return made.select(*(F.col(quoted(name)) for name in rows.columns), *outputs)
