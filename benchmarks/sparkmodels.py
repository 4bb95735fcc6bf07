"""Contenders that run on Spark: spark_fm, and pyspark.ml's own FM and linear models."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from pyspark import StorageLevel

from benchmarks.common import timed
from benchmarks.contenders import SCORED_ROWS, Contender, Fit, metrics
from benchmarks.memory import PeakMemory
from benchmarks.sets import DataSet, Features, Part

# What a user might try after the defaults, by the set's name up to its size.
TUNED: dict[str, dict[str, float]] = {
    "ml-latest-small": {"stepSize": 0.05, "regParamLinear": 0.01, "regParamFactors": 0.03},
    "a9a": {"stepSize": 0.05, "regParamLinear": 1e-4, "regParamFactors": 1e-3},
    "ctr": {"stepSize": 0.05, "regParamLinear": 1e-3, "regParamFactors": 5e-3},
    "context": {"stepSize": 0.1, "regParamLinear": 1e-3, "regParamFactors": 1e-2},
}
PYSPARK_STEPS = (0.01, 0.05, 0.2)
PYSPARK_ONE = (0.05, 100)
PYSPARK_REG = 0.001
FEW_ROWS = 200_000


class Frames:
    """A set's DataFrames: generated sets are read from Parquet each time, others are cached."""

    def __init__(self, spark: Any, data: DataSet) -> None:
        self.spark, self.data = spark, data
        self._cached: list[Any] = []
        self.part = cache(self._part)
        self.marked = cache(self._marked)
        self.scored = cache(self._scored)

    def _kept(self, frame: Any) -> Any:
        frame = frame.persist(StorageLevel.MEMORY_AND_DISK)
        frame.count()
        self._cached.append(frame)
        return frame

    def _part(self, part: Part, features: Features) -> Any:
        frame = self.data.frame(self.spark, part, features)
        return frame if self.data.generated else self._kept(frame.repartition(2))

    def _marked(self, features: Features) -> Any:
        frame = self.data.marked(self.spark, features)
        return frame if self.data.generated else self._kept(frame.repartition(2))

    def _scored(self, features: Features) -> Any:
        """Training rows to time the scoring of, cached."""
        train = self.data.frame(self.spark, "train", features)
        few = train.limit(SCORED_ROWS) if self.data.rows > SCORED_ROWS else train
        return self._kept(few.repartition(self.spark.sparkContext.defaultParallelism))

    def release(self) -> None:
        """Give back what is cached."""
        for frame in self._cached:
            frame.unpersist()
        self._cached.clear()


def run(
    data: DataSet, frames: Frames, estimator: Any, features: Features, warm: bool, in_workers: bool
) -> Fit:
    """Fit once (after an untimed fit when ``warm``), measure the test rows, and time scoring.

    ``in_workers`` says whether Python workers take part in the fit.
    """
    train, test = frames.part("train", features), frames.part("test", features)
    if warm:
        estimator.fit(train)
    with PeakMemory() as memory:
        model, seconds = timed(lambda: estimator.fit(train))
    cells = memory.columns()
    if not in_workers:
        cells.pop("workers MB")  # of workers that are idle since an earlier model
    scored = frames.scored(features)

    def score() -> None:
        model.transform(scored).write.format("noop").mode("overwrite").save()

    score()
    _, spent = timed(score)
    return Fit(seconds, test_metrics(data, model.transform(test)), cells, min(data.rows, SCORED_ROWS) / spent)


def test_metrics(data: DataSet, scored: Any) -> dict[str, float]:
    """The metrics of a scored DataFrame."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql import functions as F

    score = vector_to_array(F.col("probability"))[1] if data.binary else F.col("prediction")
    table = scored.select("label", score.alias("score")).toArrow()
    return metrics(data, np.asarray(table["label"]), np.asarray(table["score"]))


@dataclass
class SparkFM:
    """spark_fm with some params."""

    name: str
    frames: Frames
    features: Features
    params: dict[str, Any]
    family: str = "spark_fm"
    _curve: list[float] = field(default_factory=list)

    def _estimator(self, **more: Any) -> Any:
        from spark_fm import FMClassifier, FMRegressor

        data = self.frames.data
        estimator = FMClassifier if data.binary else FMRegressor
        return estimator(factorSize=data.factor_size, **(self.params | more))

    def curve(self) -> list[float]:
        """The test metric by epoch: the test rows are the validation rows. Computed once."""
        if not self._curve:
            estimator = self._estimator(validationIndicatorCol="is_test")
            losses = estimator.fit(self.frames.marked(self.features)).summary.validationLoss
            self._curve = losses if self.frames.data.binary else [loss**0.5 for loss in losses]
        return self._curve

    def fit(self, epochs: int | None = None) -> Fit:
        """Fit for so many epochs at most; None: as it comes."""
        data = self.frames.data
        limits = {} if epochs is None else {"maxIter": epochs}
        return run(data, self.frames, self._estimator(**limits), self.features, data.rows < FEW_ROWS, True)

    def close(self) -> None:
        """Nothing is held."""


@dataclass
class SparkML:
    """An estimator of pyspark.ml, fitted as it comes."""

    name: str
    family: str
    frames: Frames
    estimator: Any

    def curve(self) -> list[float]:
        """pyspark.ml does not tell."""
        return []

    def fit(self, epochs: int | None = None) -> Fit:
        """Fit. Linear models fit twice on small sets; FMs take long enough to be warm."""
        data = self.frames.data
        warm = self.family == "pyspark linear" and data.rows < FEW_ROWS
        return run(data, self.frames, self.estimator, "vector", warm, False)

    def close(self) -> None:
        """Nothing is held."""


def spark_fm(frames: Frames) -> list[Contender]:
    """Untuned; on generated sets, whose rows are arrays of ids, from vectors too; and tuned."""
    data = frames.data
    features: Features = "ids" if data.generated else "vector"
    made: list[Contender] = [SparkFM("spark_fm, untuned", frames, features, {})]
    if not data.binary:
        made.append(SparkFM("spark_fm, solver gibbs", frames, features, {"solver": "gibbs"}))
    tuned = TUNED.get(data.name.split("-")[0] if data.generated else data.name)
    if tuned:
        named = ", ".join(f"{name} {value:g}" for name, value in tuned.items())
        made.append(SparkFM(f"spark_fm, tuned: {named}", frames, features, dict(tuned)))
    if data.generated:
        made.append(SparkFM("spark_fm, untuned, from vectors", frames, "vector", {}))
    return made


def pyspark_fm(frames: Frames, grid: str) -> tuple[list[Contender], list[Contender]]:
    """pyspark.ml's FM with its defaults, and the settings of a grid ("small"); or one setting only ("one")."""
    from pyspark.ml.classification import FMClassifier
    from pyspark.ml.regression import FMRegressor

    data = frames.data
    estimator: Any = FMClassifier if data.binary else FMRegressor
    default = estimator(factorSize=data.factor_size, seed=1)
    iterations = (100,) if data.generated else (100, 200)
    settings = [(step, most) for step in PYSPARK_STEPS for most in iterations]
    made: list[Contender] = []
    for step, most in settings if grid == "small" else [PYSPARK_ONE]:
        name = f"pyspark FM, stepSize {step}, maxIter {most}, regParam {PYSPARK_REG}"
        chosen = default.copy().setStepSize(step).setMaxIter(most).setRegParam(PYSPARK_REG)
        made.append(SparkML(name, "pyspark FM", frames, chosen))
    return ([SparkML("pyspark FM, defaults", "pyspark FM", frames, default)] if grid == "small" else []), made


def pyspark_linear(frames: Frames) -> list[Contender]:
    """pyspark.ml's linear model, without and with some regularisation."""
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.regression import LinearRegression

    estimator: Any = LogisticRegression if frames.data.binary else LinearRegression
    return [
        SparkML(
            f"pyspark {estimator.__name__}, regParam {reg:g}",
            "pyspark linear",
            frames,
            estimator(regParam=reg),
        )
        for reg in (0.0, 1e-3, 5e-2)
    ]
