"""What a model is held against, on the same rows behind the same encoders."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.ml import Pipeline, PipelineModel, Transformer
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_fm.classification import FMClassifier
from spark_fm.cli.config import Config
from spark_fm.cli.metrics import Metrics, measure, predicted
from spark_fm.cli.stages import Stage
from spark_fm.engine.packing.columns import quoted
from spark_fm.engine.scoring.weighting import scaled_weight
from spark_fm.regression import FMRegressor


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
        weight = F.lit(1.0)
        if columns.weight:
            weight = scaled_weight(self.training, columns.weight, "columns.weight")
        row = self.training.agg(F.sum(label * weight) / F.sum(weight)).first()
        assert row is not None
        metrics = measure(self.held_out, F.lit(row[0]), columns.label, columns.weight, self.config.task)
        return Contender("mean of the training labels", f"{row[0]:.4g} for every row", metrics)

    def trained(self, stages: Sequence[Stage], name: str, settings: str) -> Contender:
        """Another estimator, the last of the stages."""
        model = Pipeline(stages=[*self.encoders, *stages]).fit(self.training)
        return Contender(name, settings, self.measured(model))

    def biases(self, estimator: FMClassifier | FMRegressor) -> Contender:
        """The Factorization Machine without factors."""
        linear = estimator.copy({estimator.factorSize: 0, estimator.verbose: False})
        with warnings.catch_warnings():
            # What training warns of is said in the settings.
            warnings.simplefilter("ignore")
            model = Pipeline(stages=[*self.encoders, linear]).fit(self.training)
        fm: Any = model.stages[-1]
        settings = "factorSize=0, else as spark_fm"
        if not fm.summary.bestEpoch:
            settings += "; no epoch was better than a constant"
        return Contender("biases only", settings, self.measured(model))
