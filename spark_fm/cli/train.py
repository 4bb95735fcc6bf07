"""The training job."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import DataFrame, SparkSession

from spark_fm.base.summary import FMTrainingSummary
from spark_fm.classification import FMClassifier
from spark_fm.cli.checks import check_output_format, check_places, check_settings, report_folder
from spark_fm.cli.command import Steps
from spark_fm.cli.compare import Contender, Contest
from spark_fm.cli.config import Config, required
from spark_fm.cli.errors import reason
from spark_fm.cli.model import check_target, save_model
from spark_fm.cli.read import check_columns, check_new_columns, read
from spark_fm.cli.report import draw, show, show_rows, write_metrics, write_report
from spark_fm.cli.score import output_columns, scored_rows
from spark_fm.cli.split import marked, not_hashed
from spark_fm.cli.stages import Stage, encoders, estimator_of, sparks_own
from spark_fm.cli.survey import survey, typed
from spark_fm.regression import FMRegressor

logger = logging.getLogger("spark_fm.cli")


def train(spark: SparkSession, config: Config) -> None:
    """Fit encoders and a Factorization Machine, save them, and report on the held-out rows.

    What is measured is the model as loaded from where it was saved.

    Raises
    ------
    ValueError, TypeError, FileExistsError, RuntimeError
        In one sentence, what the user can mend; before training, where it can be known by then.
    """
    steps = Steps()
    check_settings(config)
    estimator, others = estimator_of(config), sparks_own(config)
    path = required(config.model.path, "model.path", "a folder to save the model to")
    check_places(spark, config)
    check_target(spark, path, config.model.overwrite)
    if config.output.path or config.output.table:
        check_output_format(spark, config.output.format)
    folder = report_folder(config.report.folder)
    with steps.step("read"):
        training, held_out = training_rows(spark, config, estimator)
    with steps.step("train"):
        fitted = Pipeline(stages=[*encoders(config, training.schema), estimator]).fit(training)
    with steps.step(f"save to {path} and load again"):
        model = save_model(spark, fitted, path)

    last: Any = fitted.stages[-1]
    summary: FMTrainingSummary = last.summary
    contenders: list[Contender] = []
    if held_out is None:
        logger.info("no rows are held out (split.test = 0): nothing to measure on")
    else:
        contest = Contest(config, fitted.stages[:-1], training, held_out)
        contenders = _measured(contest, model, estimator, others, steps)
        show(contenders)
        write_metrics(folder / "metrics.json", config.task, contenders)
    show_rows(scored_rows(model, training if held_out is None else held_out))
    importance = last.importance() if config.fields else None
    _report(folder, config, summary, contenders, steps, importance)


def training_rows(
    spark: SparkSession, config: Config, estimator: FMClassifier | FMRegressor
) -> tuple[DataFrame, DataFrame | None]:
    """The rows to train on and those to measure on, None when there are none of these, checked.

    Raises
    ------
    ValueError
        When the input can't be read, or not be trained or measured on.
    """
    data = read(spark, config.input)
    check_columns(data, config)
    check_new_columns(data, output_columns(estimator), config.columns.cold)
    divided = marked(data, config.split, not_hashed(config.columns))
    found = survey(divided.rows, config, divided.held_out, divided.drawn)
    logger.info("rows: %d, of which %d are held out of training", found.rows, found.held_out)
    training, measured = divided.split()
    return typed(training, config), None if measured is None else typed(measured, config)


def _measured(
    contest: Contest,
    model: PipelineModel,
    estimator: FMClassifier | FMRegressor,
    others: Sequence[Stage],
    steps: Steps,
) -> list[Contender]:
    """The model and what the config compares it with."""
    config, kind = contest.config, type(estimator).__name__
    with steps.step("evaluate"):
        settings = _settings({"factorSize": estimator.getFactorSize()} | config.params)
        contenders = [Contender(f"spark_fm {kind}", settings, contest.measured(model))]
    if config.compare.baselines:
        with steps.step("train and evaluate the baselines"):
            contenders += [contest.mean(), contest.biases(estimator)]
    if others:
        with steps.step(f"train and evaluate pyspark.ml's {kind}"):
            settings = _settings(config.compare.spark)
            try:
                contenders.append(contest.trained(others, f"pyspark.ml {kind}", settings))
            except Exception as error:
                # It refuses some inputs that ours takes; the report on ours must not be lost by that.
                logger.warning("pyspark.ml's %s is left out, it failed: %s", kind, reason(error))
    return contenders


def _report(
    folder: Path,
    config: Config,
    summary: FMTrainingSummary,
    contenders: Sequence[Contender],
    steps: Steps,
    importance: pd.DataFrame | None,
) -> None:
    picture = "learning_curve.png"
    drawn = draw(folder / picture, summary)
    report = folder / "report.md"
    write_report(report, config, summary, contenders, steps.seconds, picture if drawn else None, importance)


def _settings(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items() if name != "verbose")
