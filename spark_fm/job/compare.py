"""What a model is held against, on the same rows behind the same encoders."""

from dataclasses import dataclass
from typing import Any

from pyspark.ml import Pipeline, PipelineModel, Transformer
from pyspark.ml.base import Estimator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_fm.engine.columns import quoted
from spark_fm.job.config import Config
from spark_fm.job.metrics import Metrics, measure, predicted


@dataclass(frozen=True)
class Contender:
    """One line of the table of results."""

    name: str
    settings: str
    metrics: Metrics


@dataclass(frozen=True)
class Contest:
    """Rows to train on, fitted encoders, and held-out rows to measure on."""

    config: Config
    encoders: list[Transformer]
    training: DataFrame
    held_out: DataFrame

    def measured(self, model: PipelineModel) -> Metrics:
        """Metrics of a fitted pipeline whose last stage predicts."""
        columns = self.config.columns
        prediction = predicted(model.stages[-1])
        scored = model.transform(self.held_out)
        return measure(scored, prediction, columns.label, columns.weight, self.config.task)

    def mean(self) -> Contender:
        """One prediction for all rows: the (weighted) mean of the training labels."""
        columns = self.config.columns
        label = F.col(quoted(columns.label)).cast("double")
        weight = F.col(quoted(columns.weight)).cast("double") if columns.weight else F.lit(1.0)
        row = self.training.agg(F.sum(label * weight) / F.sum(weight)).first()
        assert row is not None
        metrics = measure(self.held_out, F.lit(row[0]), columns.label, columns.weight, self.config.task)
        return Contender("mean of the training labels", f"{row[0]:.4g} for every row", metrics)

    def trained(self, estimator: Estimator[Any], name: str, settings: str) -> Contender:
        """Another estimator."""
        model = Pipeline(stages=[*self.encoders, estimator]).fit(self.training)
        return Contender(name, settings, self.measured(model))
