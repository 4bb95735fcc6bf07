"""Factorization Machines for classification: drop-in replacements of pyspark.ml.classification's."""

from typing import Any, TypeVar

import numpy as np
from pyspark import keyword_only
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import DenseVector
from pyspark.ml.param.shared import HasProbabilityCol, HasRawPredictionCol, HasThresholds
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_fm.base.converters import two_thresholds
from spark_fm.base.estimator import FMEstimator
from spark_fm.base.evaluated import FMClassificationSummary
from spark_fm.base.explain import Row
from spark_fm.base.model import FMModel
from spark_fm.base.params import FMParams
from spark_fm.core.fm.losses import LOGISTIC
from spark_fm.engine.scoring.scoring import RAW

C = TypeVar("C", bound="_ClassifierParams")


class _ClassifierParams(FMParams, HasRawPredictionCol, HasProbabilityCol, HasThresholds):
    """Output columns and thresholds."""

    def setRawPredictionCol(self: C, value: str) -> C:
        """Sets the value of rawPredictionCol."""
        return self._set(rawPredictionCol=value)

    def setProbabilityCol(self: C, value: str) -> C:
        """Sets the value of probabilityCol."""
        return self._set(probabilityCol=value)

    def setThresholds(self: C, value: list[float]) -> C:
        """Sets the value of thresholds: two numbers >= 0, at most one of them 0.

        The prediction is the class with the largest probability / threshold.
        """
        return self._set(thresholds=value)

    def _output_columns(self) -> list[str]:
        return [self.getRawPredictionCol(), self.getProbabilityCol(), *super()._output_columns()]

    def _check_scoring(self, dataset: DataFrame) -> None:
        self._two_thresholds()
        super()._check_scoring(dataset)

    def _two_thresholds(self) -> tuple[float, float] | None:
        """The thresholds, None when there are none."""
        if not self.isDefined(self.thresholds):
            return None
        found: list[float] = self.getOrDefault(self.thresholds)
        return two_thresholds(found)


class FMClassificationModel(_ClassifierParams, FMModel):
    """Model fitted by :class:`FMClassifier`: P(label = 1) = 1 / (1 + exp(-z(x))), see
    :class:`spark_fm.base.model.FMModel`.

    Examples
    --------
    Sites 0 and 1, advertisements 2 and 3; what is clicked depends on both.

    >>> from spark_fm import FMClassifier
    >>> rows = [([s, a], float(s == a - 2)) for s in (0, 1) for a in (2, 3)] * 100
    >>> clicks = spark.createDataFrame(rows, "features array<int>, label double").coalesce(1)
    >>> model = FMClassifier(factorSize=2, seed=1).fit(clicks)
    >>> model.predict([0, 2]), model.predict([0, 3])
    (1.0, 0.0)
    >>> z = model.predictRaw([0, 2])[1]
    >>> bool(z > 0 and model.predictProbability([0, 2])[1] > 0.5)
    True

    Metrics of any rows, under the names of pyspark.ml's summaries:

    >>> measured = model.evaluate(clicks)
    >>> measured.accuracy, measured.areaUnderROC
    (1.0, 1.0)
    """

    _loss = LOGISTIC

    @property
    def numClasses(self) -> int:
        """Number of classes: 2."""
        return 2

    def predictRaw(self, value: Row) -> DenseVector:
        """[-z, z] of one row: a vector of size numFeatures, or feature ids (a list, a tuple or an integer array)."""
        z = self._raw(value)
        return DenseVector([-z, z])

    def predictProbability(self, value: Row) -> DenseVector:
        """[P(label = 0), P(label = 1)] of one row."""
        z = self._raw(value)
        with np.errstate(over="ignore"):
            return DenseVector(1.0 / (1.0 + np.exp(np.array([z, -z]))))

    def predict(self, value: Row) -> float:
        """The predicted label of one row, 0.0 or 1.0."""
        thresholds = self._two_thresholds()
        if thresholds is None:
            return float(self._raw(value) > 0.0)
        p0, p1 = self.predictProbability(value).toArray()
        with np.errstate(divide="ignore"):
            zero, one = np.divide(p0, thresholds[0]), np.divide(p1, thresholds[1])
        return float(one > zero)

    def evaluate(self, dataset: DataFrame) -> FMClassificationSummary:
        """Score labelled rows and measure how good the predictions are.

        Raises
        ------
        TypeError, ValueError
            When it is no DataFrame, or a column is missing.
        """
        model = self._evaluable(dataset)
        if not model.getProbabilityCol():
            model.setProbabilityCol(f"probability_{self.uid}")
        return FMClassificationSummary(
            model.transform(dataset), model.getProbabilityCol(), *model._evaluated_columns()
        )

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self._check_scoring(dataset)
        outputs = self._outputs(F.col(RAW))
        if not outputs and not self.getExplainCol():
            return dataset
        scored = self._with_raw_score(dataset, RAW)
        for name, column in outputs.items():
            scored = scored.withColumn(name, column)
        return scored.drop(RAW)

    def _outputs(self, z: Column) -> dict[str, Column]:
        """The columns that are asked for; an empty name suppresses a column."""
        p0, p1 = 1.0 / (1.0 + F.exp(z)), 1.0 / (1.0 + F.exp(-z))
        thresholds = self._two_thresholds()
        # p1 / t1 > p0 / t0 without a division, which ANSI mode refuses by zero.
        positive = z > 0.0 if thresholds is None else p1 * thresholds[0] > p0 * thresholds[1]
        columns = {
            self.getRawPredictionCol(): array_to_vector(F.array(-z, z)),
            self.getProbabilityCol(): array_to_vector(F.array(p0, p1)),
            self.getPredictionCol(): F.when(F.isnan(z), z).when(positive, 1.0).otherwise(0.0),
        }
        return {name: column for name, column in columns.items() if name}


class FMClassifier(_ClassifierParams, FMEstimator[FMClassificationModel]):
    """Factorization Machine binary classification: minimises the log-loss, -log P(label).

    P(label = 1) = 1 / (1 + exp(-z(x))) with z(x) = w0 + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j. Labels are 0
    and 1. Training centres and scales features that have a value in more than four fifths of the rows, so one stepSize
    suits all data; the model is in the units of the data. ``explainParams()`` and docs/params.md have all options.

    Examples
    --------
    Clicks of 20 users (features 0 to 19) on 10 advertisements (20 to 29), which neither explains alone:

    >>> from pyspark.ml.linalg import Vectors
    >>> from spark_fm.classification import FMClassifier
    >>> rows = [
    ...     (float((u + a) % 2), Vectors.sparse(30, [u, 20 + a], [1.0, 1.0]))
    ...     for u in range(20)
    ...     for a in range(10)
    ... ]
    >>> clicks = spark.createDataFrame(rows, ["label", "features"]).coalesce(1)
    >>> model = FMClassifier(factorSize=4, seed=1).fit(clicks)
    >>> model.transform(clicks).select("label", "prediction").show(4)
    +-----+----------+
    |label|prediction|
    +-----+----------+
    |  0.0|       0.0|
    |  1.0|       1.0|
    |  0.0|       0.0|
    |  1.0|       1.0|
    +-----+----------+
    only showing top 4 rows
    """

    _loss = LOGISTIC
    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        # Written by `python -m benchmarks.params` from params.py.
        featuresCol: str = "features",
        labelCol: str = "label",
        predictionCol: str = "prediction",
        probabilityCol: str = "probability",
        rawPredictionCol: str = "rawPrediction",
        factorSize: int = 8,
        fitIntercept: bool = True,
        fitLinear: bool = True,
        regParam: float = 0.0,
        miniBatchFraction: float = 1.0,
        initStd: float = 0.01,
        maxIter: int = 100,
        stepSize: float = 0.1,
        tol: float = 1e-6,
        solver: str = "adagrad",
        thresholds: list[float] | None = None,
        seed: int = 0,
        weightCol: str | None = None,
        initialModel: FMClassificationModel | None = None,
        cacheDir: str | None = None,
        normalize: bool = False,
        handleInvalid: str = "error",
        regParamLinear: float = 0.003,
        regParamFactors: float = 0.01,
        regParamPrior: float = 0.3,
        patience: int = 7,
        validationFraction: float = 0.1,
        validationMetric: str = "loss",
        numPartitions: int = 0,
        roundsPerEpoch: int = 0,
        verbose: bool = False,
        regParamByField: dict[str, float] | None = None,
        minFactorCount: int = 0,
        nonnegative: bool = False,
        explainCol: str = "",
        explainTop: int = 5,
        checkpointDir: str = "",
        checkpointInterval: int = 10,
        keepOptimizerState: bool = False,
        validationIndicatorCol: str | None = None,
    ) -> None:
        super().__init__()
        self._set(**self._input_kwargs)

    @keyword_only
    def setParams(self, **kwargs: Any) -> "FMClassifier":
        """Sets params by name; takes what the constructor takes."""
        return self._set(**self._input_kwargs)

    @classmethod
    def _model_class(cls) -> type[FMClassificationModel]:
        return FMClassificationModel

    def _new_model(self) -> FMClassificationModel:
        return FMClassificationModel()
