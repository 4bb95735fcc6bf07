"""The scoring job."""

import logging
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from spark_fm.engine.columns import quoted
from spark_fm.job.command import Steps
from spark_fm.job.config import Config, required
from spark_fm.job.metrics import positive_probability
from spark_fm.job.model import load_model
from spark_fm.job.read import read

logger = logging.getLogger("spark_fm.job")


def score(spark: SparkSession, config: Config) -> None:
    """Load a model, read rows, and write them with their predictions.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        In one sentence, what the user can mend.
    """
    steps = Steps()
    path = required(config.model.path, "model.path", "the folder of a saved model")
    output = config.output
    if bool(output.path) == bool(output.table):
        found = "both" if output.path else "neither"
        raise ValueError(f"output: found {found}, expected a path or a table to write to")
    with steps.step("load the model"):
        model = load_model(spark, path)
    with steps.step("read"):
        rows = read(spark, config.input)
    written = Observation()
    scored = scored_rows(model, rows).observe(written, F.count(F.lit(1)).alias("rows"))
    writer = scored.write.format(output.format).mode(output.mode).options(**output.options)
    with steps.step(f"score and write to {output.path or output.table}"):
        if output.table:
            writer.saveAsTable(output.table)
        else:
            writer.save(output.path)
    logger.info("rows: %d", written.get["rows"])


def scored_rows(model: PipelineModel, rows: DataFrame) -> DataFrame:
    """The columns of ``rows`` and the predictions as numbers, which any format can hold.

    The column of the prediction, and of a classifier that of the probability, which is P(label = 1) here.
    """
    machine: Any = model.stages[-1]
    outputs = [F.col(quoted(machine.getPredictionCol()))]
    if hasattr(machine, "getProbabilityCol"):
        outputs.append(positive_probability(machine).alias(machine.getProbabilityCol()))
    return model.transform(rows).select(*(F.col(quoted(name)) for name in rows.columns), *outputs)
