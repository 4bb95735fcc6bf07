"""The evaluation job."""

import logging
from dataclasses import replace
from typing import Any

from pyspark.sql import SparkSession

from spark_fm.classification import FMClassificationModel
from spark_fm.cli.checks import check_places, check_settings, report_folder
from spark_fm.cli.command import Steps
from spark_fm.cli.compare import Contender
from spark_fm.cli.config import Config, required
from spark_fm.cli.metrics import measure, predicted
from spark_fm.cli.model import load_model
from spark_fm.cli.read import check_new_columns, check_present, read
from spark_fm.cli.report import show, write_metrics
from spark_fm.cli.score import check_features, cold_column, output_columns
from spark_fm.cli.split import marked, not_hashed
from spark_fm.cli.survey import survey, typed

logger = logging.getLogger("spark_fm.cli")


def evaluate(spark: SparkSession, config: Config) -> None:
    """Load a model and measure it on the rows that the config holds out; on all when it holds out none.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        In one sentence, what the user can mend.
    """
    steps = Steps()
    check_settings(config)
    path = required(config.model.path, "model.path", "the folder of a saved model")
    check_places(spark, config)
    folder = report_folder(config.report.folder)
    with steps.step("load the model"):
        model = load_model(spark, path)
    fm: Any = model.stages[-1]
    # The model knows what it was trained for; a config may be one for evaluation only.
    task = "classification" if isinstance(fm, FMClassificationModel) else "regression"
    config = replace(config, task=task, columns=replace(config.columns, label=fm.getLabelCol()))
    columns = config.columns
    with steps.step("read"):
        data = read(spark, config.input)
        check_present(data, columns)
        check_new_columns(data, output_columns(fm), cold_column(model))
        check_features(data, fm)
        rows, held_out = marked(data, config.split, not_hashed(columns)).split()
        measured = rows if held_out is None else held_out
        found = survey(measured, config, None, None)
    what = "all rows" if held_out is None else "the rows that [split] holds out"
    logger.info("measuring on %s: %d", what, found.rows)
    with steps.step("evaluate"):
        scored = model.transform(typed(measured, config))
        metrics = measure(scored, predicted(fm), columns.label, columns.weight, task)
    contenders = [Contender(type(fm).__name__, f"loaded from {path}", metrics)]
    show(contenders)
    write_metrics(folder / "evaluation.json", task, contenders)
