"""The training job."""

import logging
from collections.abc import Mapping
from typing import Any

from pyspark.ml import Pipeline
from pyspark.sql import SparkSession

from spark_fm.engine.folders import holds_something
from spark_fm.job.command import Steps
from spark_fm.job.compare import Contender, Contest
from spark_fm.job.config import Config, required
from spark_fm.job.errors import reason
from spark_fm.job.model import load_model
from spark_fm.job.read import check_columns, read, split_rows
from spark_fm.job.report import draw, local_folder, show, show_rows, write_metrics, write_report
from spark_fm.job.score import scored_rows
from spark_fm.job.stages import encoders, machine, sparks_own
from spark_fm.summary import FMTrainingSummary

logger = logging.getLogger("spark_fm.job")


def train(spark: SparkSession, config: Config) -> None:
    """Fit encoders and a Factorization Machine, save them, and report on the held-out rows.

    What is measured is the model as loaded from where it was saved.

    Raises
    ------
    ValueError, TypeError, FileExistsError, RuntimeError
        In one sentence, what the user can mend.
    """
    steps = Steps()
    estimator, other = machine(config), sparks_own(config)
    path = required(config.model.path, "model.path", "a folder to save the model to")
    folder = local_folder(config.report.folder)
    if not config.model.overwrite and holds_something(spark, path):
        raise FileExistsError(f"model.path: there is something at {path}; model.overwrite = true replaces it")
    with steps.step("read"):
        data = read(spark, config.input)
        check_columns(data, config.columns)
        training, held_out = split_rows(data, config.split)
    with steps.step("train"):
        fitted = Pipeline(stages=[*encoders(config.columns), estimator]).fit(training)
    with steps.step(f"save to {path}"):
        writer = fitted.write()
        (writer.overwrite() if config.model.overwrite else writer).save(path)
    with steps.step("load again"):
        model = load_model(spark, path)

    last: Any = fitted.stages[-1]
    summary: FMTrainingSummary = last.summary
    contenders: list[Contender] = []
    if held_out is None:
        logger.info("no rows are held out (split.test = 0): nothing to measure on")
    else:
        contest = Contest(config, fitted.stages[:-1], training, held_out)
        kind = type(estimator).__name__
        with steps.step("evaluate"):
            settings = _settings({"factorSize": estimator.getFactorSize()} | config.params)
            contenders.append(Contender(f"spark_fm {kind}", settings, contest.measured(model)))
        if config.compare.baselines:
            with steps.step("train and evaluate the baselines"):
                linear = estimator.copy({estimator.factorSize: 0, estimator.verbose: False})
                contenders.append(contest.mean())
                contenders.append(contest.trained(linear, "biases only", "factorSize=0, else as spark_fm"))
        if other is not None:
            with steps.step(f"train and evaluate pyspark.ml's {kind}"):
                settings = _settings(config.compare.spark)
                try:
                    contenders.append(contest.trained(other, f"pyspark.ml {kind}", settings))
                except Exception as error:
                    # It refuses some inputs that ours takes; the report on ours must not be lost by that.
                    logger.warning("pyspark.ml's %s is left out, it failed: %s", kind, reason(error))
        show(contenders)
        write_metrics(folder / "metrics.json", config.task, contenders)

    show_rows(scored_rows(model, data if held_out is None else held_out))
    picture = "learning_curve.png"
    drawn = draw(folder / picture, summary)
    report = folder / "report.md"
    write_report(report, config, summary, contenders, steps.seconds, picture if drawn else None)


def _settings(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in params.items() if name != "verbose")
