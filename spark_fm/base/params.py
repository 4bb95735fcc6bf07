"""Params of the Factorization Machine estimators and models, with their checks."""

from collections.abc import Callable
from typing import Any, TypeVar

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import (
    HasFeaturesCol,
    HasFitIntercept,
    HasLabelCol,
    HasMaxIter,
    HasPredictionCol,
    HasRegParam,
    HasSeed,
    HasStepSize,
    HasTol,
    HasValidationIndicatorCol,
    HasWeightCol,
)
from pyspark.sql import DataFrame

from spark_fm.base.checkpoint_params import CheckpointParams
from spark_fm.base.converters import (
    DEFAULT_SOLVER,
    checked,
    factors_of,
    model_of,
    not_negative,
    one_of,
    solver_of,
    whole,
)
from spark_fm.base.getters import FMGetters
from spark_fm.core.fm.validation import NAMES
from spark_fm.engine.packing.names import check_names, folding
from spark_fm.engine.scoring.scoring import RAW, SCORED
from spark_fm.engine.training.fit import SOLVERS

INVALID = ("error", "skip", "keep")
DEFAULTS: dict[str, Any] = {}
P = TypeVar("P", bound="FMParams")
T = TypeVar("T")


def param_of(name: str, default: T | None, doc: str, convert: Callable[[Any], T]) -> "Param[T]":
    """A param with its default (None: it has none), its documentation and its converter.

    All else that knows the params is written from these: ``python -m benchmarks.params``.
    """
    if default is not None:
        DEFAULTS[name] = default
    return Param(Params._dummy(), name, doc, typeConverter=convert)


class FMParams(
    FMGetters,
    HasFeaturesCol,
    HasLabelCol,
    HasPredictionCol,
    HasMaxIter,
    HasStepSize,
    HasTol,
    HasSeed,
    HasFitIntercept,
    HasRegParam,
    HasWeightCol,
    HasValidationIndicatorCol,
):
    """Params of the Factorization Machine estimators, which their models have too.

    A param that is set to None has its default.
    """

    factorSize: Param[int] = param_of(
        "factorSize",
        8,
        "K, the length of the factor vectors, which are used to get pairwise interactions between "
        "features; >= 0, where 0 is a linear model",
        whole("factorSize", 0),
    )
    normalize: Param[bool] = param_of(
        "normalize",
        False,
        "whether to divide each row's feature values by their Euclidean length, in training and in scoring",
        TypeConverters.toBoolean,
    )
    handleInvalid: Param[str] = param_of(
        "handleInvalid",
        "error",
        "what becomes of a row that can't be scored (null, of another size, not finite): error (its sentence), "
        "skip (the row is left out) or keep (its prediction is NaN); training takes valid rows only",
        one_of("handleInvalid", INVALID),
    )
    maxIter: Param[int] = param_of(
        "maxIter", 100, "number of epochs (passes over the data) at most; >= 0", whole("maxIter", 0)
    )
    stepSize: Param[float] = param_of(
        "stepSize",
        0.1,
        "AdaGrad step size; > 0",
        checked(
            "stepSize",
            TypeConverters.toFloat,
            lambda value: 0.0 < value < float("inf"),
            "a finite number > 0",
        ),
    )
    tol: Param[float] = param_of(
        "tol",
        1e-6,
        "relative improvement of the loss below which an epoch counts as no improvement; >= 0",
        not_negative("tol"),
    )
    solver: Param[str] = param_of(
        "solver",
        DEFAULT_SOLVER,
        f"optimization algorithm, one of: {', '.join(SOLVERS)}. gibbs samples, for regression: maxIter sweeps, no "
        "held-out rows, and no penalties, since it learns their strengths; auto takes it where rows have few features. "
        "pyspark.ml's gd and adamW stand for adagrad",
        solver_of,
    )
    regParam: Param[float] = param_of(
        "regParam",
        0.0,
        "L2 penalty on the weights and factors that a row touches; where set, it takes the place of the "
        "defaults of regParamLinear and regParamFactors; >= 0",
        not_negative("regParam"),
    )
    regParamLinear: Param[float] = param_of(
        "regParamLinear",
        0.003,
        "L2 penalty on the weights of the features of a row; overrides regParam; >= 0",
        not_negative("regParamLinear"),
    )
    regParamFactors: Param[float] = param_of(
        "regParamFactors",
        0.01,
        "L2 penalty on the factors of the features of a row; overrides regParam; >= 0",
        not_negative("regParamFactors"),
    )
    regParamPrior: Param[float] = param_of(
        "regParamPrior",
        0.3,
        "strength of a Gaussian prior on weights and factors, which shrinks a feature the more the rarer it "
        "is; unless set, training begins with a thirtieth of the default, goes over to the default when the "
        "validation loss gets no better, and back when that made it worse; where regParam is set, 0 unless "
        "set itself; >= 0",
        not_negative("regParamPrior"),
    )
    fitLinear: Param[bool] = param_of(
        "fitLinear",
        True,
        "whether to fit the linear term (aka 1-way term)",
        TypeConverters.toBoolean,
    )
    miniBatchFraction: Param[float] = param_of(
        "miniBatchFraction",
        1.0,
        "fraction of the rows, drawn anew each time, that an epoch visits; in (0, 1]",
        checked(
            "miniBatchFraction",
            TypeConverters.toFloat,
            lambda value: 0.0 < value <= 1.0,
            "a number in (0, 1]",
        ),
    )
    initStd: Param[float] = param_of(
        "initStd",
        0.01,
        "standard deviation of the initial factors; >= 0",
        not_negative("initStd"),
    )
    patience: Param[int] = param_of(
        "patience",
        7,
        "epochs without improvement of the validation loss after which training stops; >= 1",
        whole("patience", 1),
    )
    validationFraction: Param[float] = param_of(
        "validationFraction",
        0.1,
        "without validationIndicatorCol, part of the rows (at most; less on large data) held out to choose "
        "the number of epochs; 0 trains until maxIter or tol; in [0, 0.5]",
        checked(
            "validationFraction",
            TypeConverters.toFloat,
            lambda value: 0.0 <= value <= 0.5,
            "a number in [0, 0.5]",
        ),
    )
    validationMetric: Param[str] = param_of(
        "validationMetric",
        "loss",
        "by what validation rows, or rows held out, judge when to stop: loss; for regression also rmse (which judges "
        "as the loss does) and mae; for classification logLoss (the same as loss) and areaUnderROC",
        one_of("validationMetric", NAMES),
    )
    numPartitions: Param[int] = param_of(
        "numPartitions",
        0,
        "partitions to train on; 0 decides by the work",
        whole("numPartitions", 0),
    )
    roundsPerEpoch: Param[int] = param_of(
        "roundsPerEpoch",
        0,
        "merges of the partitions' updates per epoch; 0 decides by rows and partitions",
        whole("roundsPerEpoch", 0),
    )
    verbose: Param[bool] = param_of(
        "verbose", False, "whether to show a progress bar with the losses", TypeConverters.toBoolean
    )
    regParamByField: Param[dict[str, float]] = param_of(
        "regParamByField",
        None,
        "from the name of a field to the number, >= 0, that all L2 penalties of its features are multiplied by, "
        "the prior's included: 0 leaves them unpenalised",
        factors_of,
    )
    minFactorCount: Param[int] = param_of(
        "minFactorCount",
        0,
        "features that occur in fewer training rows have a weight and no factors, unless initialModel has factors "
        "of them; >= 0",
        whole("minFactorCount", 0),
    )
    nonnegative: Param[bool] = param_of(
        "nonnegative",
        False,
        "whether weights and factors are kept at or above 0; the intercept is free, and dense columns are scaled "
        "and not centred",
        TypeConverters.toBoolean,
    )
    explainCol: Param[str] = param_of(
        "explainCol",
        "",
        "column of the largest parts of each row's raw prediction, "
        "array<struct<label: string, contribution: double>>; empty for none",
        TypeConverters.toString,
    )
    explainTop: Param[int] = param_of(
        "explainTop", 5, "how many parts explainCol has at most; >= 1", whole("explainTop", 1)
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(**DEFAULTS, fitIntercept=True, seed=0)

    def _set(self: P, **kwargs: Any) -> P:
        for name in [name for name, value in kwargs.items() if value is None]:
            self.clear(self.getParam(name))
            del kwargs[name]
        return super()._set(**kwargs)

    def _output_columns(self) -> list[str]:
        """Names of the columns that scoring adds; an empty name adds none."""
        return [self.getPredictionCol(), self.getExplainCol()]

    def _check_scoring(self, dataset: DataFrame) -> None:
        """Check that the columns that scoring adds are new.

        Raises
        ------
        ValueError
            When the dataset has such a column, or two of them have the same name.
        """
        check_names(dataset.sparkSession, {}, dataset.columns, [RAW, SCORED])
        # Spark would replace the column.
        fold = folding(dataset.sparkSession)
        taken = {fold(name) for name in (*dataset.columns, RAW, SCORED)}
        for name in filter(None, self._output_columns()):
            if fold(name) in taken:
                raise ValueError(f"Output column {name} already exists.")
            taken.add(fold(name))

    def _penalty(self, own: "Param[float]") -> float:
        """An explicit penalty of a part, else an explicit regParam, else the part's default."""
        if not self.isSet(own) and self.isSet(self.regParam):
            return self.getOrDefault(self.regParam)
        return self.getOrDefault(own)

    def getRegParamByField(self) -> dict[str, float]:
        """Gets the number that the penalties of each field are multiplied by; empty when there is none."""
        if not self.isDefined(self.regParamByField):
            return {}
        found: dict[str, float] = self.getOrDefault("regParamByField")
        return dict(found)

    def getRegParamLinear(self) -> float:
        """Gets the L2 penalty in force on the weights (see regParam)."""
        return self._penalty(self.regParamLinear)

    def getRegParamFactors(self) -> float:
        """Gets the L2 penalty in force on the factors (see regParam)."""
        return self._penalty(self.regParamFactors)

    def getRegParamPrior(self) -> float:
        """Gets the strength of the prior in force: 0 where regParam is set and regParamPrior is not."""
        if not self.isSet(self.regParamPrior) and self.isSet(self.regParam):
            return 0.0
        return self.getOrDefault(self.regParamPrior)


class FMEstimatorParams(FMParams, CheckpointParams):
    """What an estimator has and its models have not."""

    initialModel: Param[Any] = param_of(
        "initialModel",
        None,
        "model to start from; features that it does not know get fresh parameters",
        model_of,
    )

    cacheDir: Param[str] = param_of(
        "cacheDir",
        None,
        "folder that all machines of the cluster reach (a volume, DBFS, S3, HDFS), in which fits keep the packed rows "
        "as Parquet, each in folders of its own that it removes at its end; without one Spark's cache has them, which "
        "serverless compute may refuse",
        TypeConverters.toString,
    )

    def getCacheDir(self) -> str:
        """Gets the folder in which fits keep the packed rows, empty for Spark's cache."""
        return self.getOrDefault(self.cacheDir) if self.isDefined(self.cacheDir) else ""

    def getInitialModel(self) -> Any:
        """Gets the model to start from, None when there is none."""
        return self.getOrDefault(self.initialModel) if self.isDefined(self.initialModel) else None
