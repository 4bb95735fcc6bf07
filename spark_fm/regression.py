"""Factorization Machines for regression: drop-in replacements of pyspark.ml.regression's."""

import warnings
from dataclasses import replace
from typing import Any

from pyspark import keyword_only
from pyspark.sql import DataFrame

from spark_fm.base.estimator import FMEstimator
from spark_fm.base.evaluated import FMRegressionSummary
from spark_fm.base.explain import Row
from spark_fm.base.model import FMModel
from spark_fm.base.named import Start
from spark_fm.base.sampler_params import SamplerParams
from spark_fm.core.fm.fields import FieldLayout
from spark_fm.core.fm.losses import SQUARED
from spark_fm.core.fm.settings import Settings
from spark_fm.engine.scoring.scoring import RAW

NOT_OF_SAMPLERS = (
    "regParam", "regParamLinear", "regParamFactors", "regParamPrior", "tol", "patience", "validationFraction",
    "roundsPerEpoch",
)  # fmt: skip
# Of the posterior, for predictionStdCol.
SAMPLES_KEPT = 20


class FMRegressionModel(FMModel, SamplerParams):
    """Model fitted by :class:`FMRegressor`; the prediction is z(x), see :class:`spark_fm.base.model.FMModel`.

    Examples
    --------
    Users 0 to 2 and items 3 to 4; a rating is 4 where a user likes an item and 2 where not.

    >>> from spark_fm import FMRegressor
    >>> likes = [(0, 3), (1, 3), (2, 4)]
    >>> rows = [([u, i], 4.0 if (u, i) in likes else 2.0) for u in range(3) for i in (3, 4)] * 50
    >>> ratings = spark.createDataFrame(rows, "features array<int>, label double").coalesce(1)
    >>> model = FMRegressor(factorSize=2, maxIter=200, regParam=0.0, tol=1e-4).fit(ratings)
    >>> round(model.predict([0, 3]), 1), round(model.predict([0, 4]), 1)
    (4.0, 2.0)

    The parts of a score add up to it:

    >>> explanation = model.explain([0, 3])
    >>> sorted(explanation.linear), sorted(explanation.pairs)
    ([0, 3], [(0, 3)])
    >>> abs(explanation.score - model.predict([0, 3])) < 1e-9
    True

    Parameters as pyspark.ml has them, and a metric of any rows:

    >>> model.numFeatures, model.linear.size, model.factors.toArray().shape
    (5, 5, (5, 2))
    >>> round(model.evaluate(ratings).rootMeanSquaredError, 1)
    0.0
    """

    _loss = SQUARED

    def predict(self, value: Row) -> float:
        """The predicted label of one row: a vector of size numFeatures, or feature ids in a list, tuple or array."""
        return self._raw(value)

    def evaluate(self, dataset: DataFrame) -> FMRegressionSummary:
        """Score labelled rows and measure how good the predictions are.

        Raises
        ------
        TypeError, ValueError
            When it is no DataFrame, or a column is missing.
        """
        model = self._evaluable(dataset)
        return FMRegressionSummary(model.transform(dataset), *model._evaluated_columns())

    def setPredictionStdCol(self, value: str) -> "FMRegressionModel":
        """Sets the value of predictionStdCol."""
        return self._set(predictionStdCol=value)

    def _output_columns(self) -> list[str]:
        return [*super()._output_columns(), self.getPredictionStdCol()]

    def _deviation_column(self) -> str:
        name = self.getPredictionStdCol()
        if name and self._posterior is None:
            raise ValueError(
                f"predictionStdCol: found {name!r}, but this model has no samples; expected it to be set before the "
                "fit, with solver 'gibbs'"
            )
        return name

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self._check_scoring(dataset)
        name = self.getPredictionCol()
        if name:
            return self._with_raw_score(dataset, name)
        wanted = self.getExplainCol() or self.getPredictionStdCol()
        return self._with_raw_score(dataset, RAW).drop(RAW) if wanted else dataset


class FMRegressor(FMEstimator[FMRegressionModel], SamplerParams):
    """Factorization Machine regression: minimises the squared error (z(x) - label)^2.

    z(x) = w0 + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j. Labels are any finite numbers. Training shifts and scales
    them, and centres and scales features that have a value in more than four fifths of the rows, so one stepSize suits
    all data; the model is in the units of the data. ``explainParams()`` and docs/params.md have all options.

    Examples
    --------
    Ratings of 20 users (features 0 to 19) for 10 items (20 to 29), which neither explains alone:

    >>> from pyspark.ml.linalg import Vectors
    >>> from spark_fm.regression import FMRegressor
    >>> rows = [
    ...     (float(1 + u % 2 + i % 2 - 2 * (u % 2) * (i % 2)), Vectors.sparse(30, [u, 20 + i], [1.0, 1.0]))
    ...     for u in range(20)
    ...     for i in range(10)
    ... ]
    >>> ratings = spark.createDataFrame(rows, ["label", "features"]).coalesce(1)
    >>> model = FMRegressor(factorSize=4, seed=1).fit(ratings)
    >>> model.transform(ratings).selectExpr("label", "round(prediction) AS rounded").show(4)
    +-----+-------+
    |label|rounded|
    +-----+-------+
    |  1.0|    1.0|
    |  2.0|    2.0|
    |  1.0|    1.0|
    |  2.0|    2.0|
    +-----+-------+
    only showing top 4 rows
    """

    _loss = SQUARED
    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        # Written by `python -m benchmarks.params` from params.py.
        featuresCol: str = "features",
        labelCol: str = "label",
        predictionCol: str = "prediction",
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
        seed: int = 0,
        weightCol: str | None = None,
        initialModel: FMRegressionModel | None = None,
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
        samplerFactorSize: int = 0,
        numChains: int = 2,
        predictionStdCol: str = "",
        validationIndicatorCol: str | None = None,
    ) -> None:
        super().__init__()
        self._set(**self._input_kwargs)

    @keyword_only
    def setParams(self, **kwargs: Any) -> "FMRegressor":
        """Sets params by name; takes what the constructor takes."""
        return self._set(**self._input_kwargs)

    def setSamplerFactorSize(self, value: int) -> "FMRegressor":
        """Sets the value of samplerFactorSize."""
        return self._set(samplerFactorSize=value)

    def setNumChains(self, value: int) -> "FMRegressor":
        """Sets the value of numChains."""
        return self._set(numChains=value)

    def setPredictionStdCol(self, value: str) -> "FMRegressor":
        """Sets the value of predictionStdCol."""
        return self._set(predictionStdCol=value)

    def _output_columns(self) -> list[str]:
        return [*super()._output_columns(), self.getPredictionStdCol()]

    def _check(self, dataset: DataFrame) -> Start:
        unused = [name for name in NOT_OF_SAMPLERS if self.isSet(name)]
        if unused and self.getSolver() == "gibbs":
            warnings.warn(
                f"solver: 'gibbs' makes no use of {', '.join(unused)}: it learns how strong priors are, and draws "
                "maxIter sweeps of all rows",
                stacklevel=4,
            )
        return super()._check(dataset)

    def _settings(self, layout: FieldLayout | None = None) -> Settings:
        name, solver = self.getPredictionStdCol(), self.getSolver()
        if name and solver != "gibbs":
            raise ValueError(
                f"predictionStdCol: found {name!r} with solver {solver!r}, which draws no samples; expected solver "
                "'gibbs'"
            )
        size = self.getSamplerFactorSize()
        if self.getInitialModel() is not None and size not in (0, self.getFactorSize()):
            raise ValueError(
                f"samplerFactorSize: found {size}, expected factorSize, {self.getFactorSize()}, where an initialModel "
                "is set"
            )
        return replace(
            super()._settings(layout),
            sampler_factor_size=size,
            chains=self.getNumChains(),
            samples_kept=SAMPLES_KEPT if name else 0,
        )

    @classmethod
    def _model_class(cls) -> type[FMRegressionModel]:
        return FMRegressionModel

    def _new_model(self) -> FMRegressionModel:
        return FMRegressionModel()
