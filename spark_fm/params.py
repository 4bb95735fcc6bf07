"""Params of the Factorization Machine estimators and models, with their checks."""

from collections.abc import Callable
from functools import partial
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

SOLVERS = ("adagrad",)
T = TypeVar("T")


def _checked(
    value: Any, name: str, convert: Callable[[Any], T], valid: Callable[[T], bool], expected: str
) -> T:
    converted = convert(value)
    if not valid(converted):
        raise ValueError(f"{name}: found {value!r}, expected {expected}")
    return converted


def checked(
    name: str, convert: Callable[[Any], T], valid: Callable[[T], bool], expected: str
) -> Callable[[Any], T]:
    """A param converter that also checks the range.

    Raises
    ------
    ValueError
        Naming the param, what was found and what was expected.
    """
    return partial(_checked, name=name, convert=convert, valid=valid, expected=expected)


def _at_least(least: int) -> Callable[[Any], bool]:
    return lambda value: value >= least


def _whole(name: str, least: int) -> Callable[[Any], int]:
    return checked(name, TypeConverters.toInt, _at_least(least), f"an integer >= {least}")


def _not_negative(name: str) -> Callable[[Any], float]:
    return checked(
        name,
        TypeConverters.toFloat,
        lambda value: 0.0 <= value < float("inf"),
        "a finite number >= 0",
    )


def _param(name: str, doc: str, convert: Callable[[Any], T]) -> "Param[T]":
    return Param(Params._dummy(), name, doc, typeConverter=convert)


def _model_or_path(value: Any) -> Any:
    if value is None or hasattr(value, "weights"):
        return value
    raise TypeError(
        f"initialModel: found {type(value).__name__}, expected a fitted Factorization Machine model"
    )


class FMModelParams(HasFeaturesCol, HasLabelCol, HasPredictionCol):
    """What a model keeps of its estimator's params because scoring needs it."""

    factorSize: Param[int] = _param(
        "factorSize",
        "K, the length of the factor vectors, which are used to get pairwise interactions between "
        "features; >= 0, where 0 is a linear model",
        _whole("factorSize", 0),
    )
    normalize: Param[bool] = _param(
        "normalize",
        "whether to divide each row's feature values by their Euclidean length, in training and in scoring",
        TypeConverters.toBoolean,
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(factorSize=8, normalize=False)

    def getFactorSize(self) -> int:
        """Gets the value of factorSize or its default value."""
        return self.getOrDefault(self.factorSize)

    def getNormalize(self) -> bool:
        """Gets the value of normalize or its default value."""
        return self.getOrDefault(self.normalize)


class FMParams(
    FMModelParams,
    HasMaxIter,
    HasStepSize,
    HasTol,
    HasSeed,
    HasFitIntercept,
    HasRegParam,
    HasWeightCol,
    HasValidationIndicatorCol,
):
    """Params of both Factorization Machine estimators."""

    maxIter: Param[int] = _param(
        "maxIter", "number of epochs (passes over the data) at most; >= 0", _whole("maxIter", 0)
    )
    stepSize: Param[float] = _param(
        "stepSize",
        "AdaGrad step size; > 0",
        checked(
            "stepSize",
            TypeConverters.toFloat,
            lambda value: 0.0 < value < float("inf"),
            "a finite number > 0",
        ),
    )
    tol: Param[float] = _param(
        "tol",
        "relative improvement of the loss below which an epoch counts as no improvement; >= 0",
        _not_negative("tol"),
    )
    solver: Param[str] = _param(
        "solver",
        f"optimization algorithm, one of: {', '.join(SOLVERS)}",
        checked(
            "solver",
            TypeConverters.toString,
            lambda value: value in SOLVERS,
            f"one of: {', '.join(SOLVERS)}",
        ),
    )
    regParam: Param[float] = _param(
        "regParam",
        "L2 penalty on the weights and factors that a row touches; where set, it takes the place of the "
        "defaults of regParamLinear and regParamFactors; >= 0",
        _not_negative("regParam"),
    )
    regParamLinear: Param[float] = _param(
        "regParamLinear",
        "L2 penalty on the weights of the features of a row; overrides regParam; >= 0",
        _not_negative("regParamLinear"),
    )
    regParamFactors: Param[float] = _param(
        "regParamFactors",
        "L2 penalty on the factors of the features of a row; overrides regParam; >= 0",
        _not_negative("regParamFactors"),
    )
    regParamPrior: Param[float] = _param(
        "regParamPrior",
        "strength of a Gaussian prior on weights and factors, which shrinks a feature the more the rarer it "
        "is; unless set, training begins with a thirtieth of the default, goes over to the default when the "
        "validation loss gets no better, and back when that made it worse; where regParam is set, 0 unless "
        "set itself; >= 0",
        _not_negative("regParamPrior"),
    )
    fitLinear: Param[bool] = _param(
        "fitLinear",
        "whether to fit the linear term (aka 1-way term)",
        TypeConverters.toBoolean,
    )
    miniBatchFraction: Param[float] = _param(
        "miniBatchFraction",
        "fraction of the rows, drawn anew each time, that an epoch visits; in (0, 1]",
        checked(
            "miniBatchFraction",
            TypeConverters.toFloat,
            lambda value: 0.0 < value <= 1.0,
            "a number in (0, 1]",
        ),
    )
    initStd: Param[float] = _param(
        "initStd",
        "standard deviation of the initial factors; >= 0",
        _not_negative("initStd"),
    )
    patience: Param[int] = _param(
        "patience",
        "epochs without improvement of the validation loss after which training stops; >= 1",
        _whole("patience", 1),
    )
    validationFraction: Param[float] = _param(
        "validationFraction",
        "without validationIndicatorCol, part of the rows (at most; less on large data) held out to choose "
        "the number of epochs; 0 trains until maxIter or tol; in [0, 0.5]",
        checked(
            "validationFraction",
            TypeConverters.toFloat,
            lambda value: 0.0 <= value <= 0.5,
            "a number in [0, 0.5]",
        ),
    )
    numPartitions: Param[int] = _param(
        "numPartitions",
        "partitions to train on; 0 decides by the work",
        _whole("numPartitions", 0),
    )
    roundsPerEpoch: Param[int] = _param(
        "roundsPerEpoch",
        "merges of the partitions' updates per epoch; 0 decides by rows and partitions",
        _whole("roundsPerEpoch", 0),
    )
    initialModel: Param[Any] = _param(
        "initialModel",
        "model to start from; features that it does not know get fresh parameters",
        _model_or_path,
    )
    verbose: Param[bool] = _param(
        "verbose", "whether to show a progress bar with the losses", TypeConverters.toBoolean
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(
            fitIntercept=True,
            fitLinear=True,
            regParam=0.0,
            regParamLinear=0.003,
            regParamFactors=0.01,
            regParamPrior=0.3,
            miniBatchFraction=1.0,
            initStd=0.01,
            maxIter=100,
            stepSize=0.1,
            tol=1e-6,
            solver="adagrad",
            seed=0,
            patience=7,
            validationFraction=0.1,
            numPartitions=0,
            roundsPerEpoch=0,
            verbose=False,
        )

    def _penalty(self, own: "Param[float]") -> float:
        """An explicit penalty of a part, else an explicit regParam, else the part's default."""
        if not self.isSet(own) and self.isSet(self.regParam):
            return self.getOrDefault(self.regParam)
        return self.getOrDefault(own)

    def getSolver(self) -> str:
        """Gets the value of solver or its default value."""
        return self.getOrDefault(self.solver)

    def getFitLinear(self) -> bool:
        """Gets the value of fitLinear or its default value."""
        return self.getOrDefault(self.fitLinear)

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

    def getMiniBatchFraction(self) -> float:
        """Gets the value of miniBatchFraction or its default value."""
        return self.getOrDefault(self.miniBatchFraction)

    def getInitStd(self) -> float:
        """Gets the value of initStd or its default value."""
        return self.getOrDefault(self.initStd)

    def getPatience(self) -> int:
        """Gets the value of patience or its default value."""
        return self.getOrDefault(self.patience)

    def getValidationFraction(self) -> float:
        """Gets the value of validationFraction or its default value."""
        return self.getOrDefault(self.validationFraction)

    def getNumPartitions(self) -> int:
        """Gets the value of numPartitions or its default value."""
        return self.getOrDefault(self.numPartitions)

    def getRoundsPerEpoch(self) -> int:
        """Gets the value of roundsPerEpoch or its default value."""
        return self.getOrDefault(self.roundsPerEpoch)

    def getInitialModel(self) -> Any:
        """Gets the model to start from, None when there is none."""
        return self.getOrDefault(self.initialModel) if self.isDefined(self.initialModel) else None

    def getVerbose(self) -> bool:
        """Gets the value of verbose or its default value."""
        return self.getOrDefault(self.verbose)
