"""Factorization Machines for regression: drop-in replacements of pyspark.ml.regression's."""

from typing import Any

from pyspark import keyword_only
from pyspark.sql import DataFrame

from spark_fm.base.estimator import FMEstimator
from spark_fm.base.evaluated import FMRegressionSummary
from spark_fm.base.explain import Row
from spark_fm.base.model import FMModel
from spark_fm.core.fm.losses import SQUARED


class FMRegressionModel(FMModel):
    """Model fitted by :class:`FMRegressor`; the prediction is z(x), see :class:`spark_fm.base.model.FMModel`."""

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

    def _transform(self, dataset: DataFrame) -> DataFrame:
        name = self.getPredictionCol()
        if not name:
            return dataset
        self._check_scoring(dataset)
        return self._with_raw_score(dataset, name)


class FMRegressor(FMEstimator[FMRegressionModel]):
    """Factorization Machine regression: minimises the squared error with AdaGrad.

    Labels are any finite numbers; training shifts and scales them, and centres and scales features that have a value in
    more than four fifths of the rows, so one stepSize suits all data; the model is in the units of the data. See the
    params' documentation (``explainParams()``) for all options.

    Examples
    --------
    >>> from spark_fm.regression import FMRegressor
    >>> model = FMRegressor(factorSize=8, seed=1).fit(train)  # doctest: +SKIP
    >>> model.transform(test).select("prediction").show()  # doctest: +SKIP
    """

    _loss = SQUARED
    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        featuresCol: str = "features",
        labelCol: str = "label",
        predictionCol: str = "prediction",
        factorSize: int = 8,
        fitIntercept: bool = True,
        fitLinear: bool = True,
        regParam: float = 0.0,
        regParamLinear: float = 0.003,
        regParamFactors: float = 0.01,
        regParamPrior: float = 0.3,
        miniBatchFraction: float = 1.0,
        initStd: float = 0.01,
        maxIter: int = 100,
        stepSize: float = 0.1,
        tol: float = 1e-6,
        solver: str = "adagrad",
        seed: int | None = None,
        weightCol: str | None = None,
        validationIndicatorCol: str | None = None,
        patience: int = 7,
        validationFraction: float = 0.1,
        numPartitions: int = 0,
        roundsPerEpoch: int = 0,
        initialModel: FMRegressionModel | None = None,
        normalize: bool = False,
        handleInvalid: str = "error",
        verbose: bool = False,
    ) -> None:
        super().__init__()
        self._set(**self._input_kwargs)

    @keyword_only
    def setParams(self, **kwargs: Any) -> "FMRegressor":
        """Sets params by name; takes what the constructor takes."""
        return self._set(**self._input_kwargs)

    @classmethod
    def _model_class(cls) -> type[FMRegressionModel]:
        return FMRegressionModel

    def _new_model(self) -> FMRegressionModel:
        return FMRegressionModel()
