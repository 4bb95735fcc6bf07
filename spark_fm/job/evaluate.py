"""The evaluation job."""

import logging
from typing import Any

from pyspark.sql import SparkSession

from spark_fm.classification import FMClassificationModel
from spark_fm.job.command import Steps
from spark_fm.job.compare import Contender
from spark_fm.job.config import Config, required
from spark_fm.job.metrics import measure, predicted
from spark_fm.job.model import load_model
from spark_fm.job.read import read, split_rows
from spark_fm.job.report import local_folder, show, write_metrics

logger = logging.getLogger("spark_fm.job")


def evaluate(spark: SparkSession, config: Config) -> None:
    """Load a model and measure it on the rows that the config holds out; on all when it holds out none.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        In one sentence, what the user can mend.
    """
    steps = Steps()
    path = required(config.model.path, "model.path", "the folder of a saved model")
    folder = local_folder(config.report.folder)
    with steps.step("load the model"):
        model = load_model(spark, path)
    machine: Any = model.stages[-1]
    task = "classification" if isinstance(machine, FMClassificationModel) else "regression"
    with steps.step("read"):
        rows, held_out = split_rows(read(spark, config.input), config.split)
    logger.info("measuring on %s", "all rows" if held_out is None else "the rows that [split] holds out")
    with steps.step("evaluate"):
        scored = model.transform(rows if held_out is None else held_out)
        metrics = measure(scored, predicted(machine), machine.getLabelCol(), config.columns.weight, task)
    contenders = [Contender(type(machine).__name__, f"loaded from {path}", metrics)]
    show(contenders)
    write_metrics(folder / "evaluation.json", task, contenders)
