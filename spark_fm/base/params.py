"""Params of the Factorization Machine estimators and models, with their checks."""

from typing import Any, TypeVar

from pyspark.ml.param import Param, TypeConverters
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

from spark_fm.base.converters import (
    DEFAULT_SOLVER,
    checked,
    model_of,
    not_negative,
    one_of,
    param_of,
    solver_of,
    whole,
)
from spark_fm.engine.training.fit import SOLVERS

INVALID = ("error", "skip", "keep")
P = TypeVar("P", bound="FMParams")


class FMParams(
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
        "K, the length of the factor vectors, which are used to get pairwise interactions between "
        "features; >= 0, where 0 is a linear model",
        whole("factorSize", 0),
    )
    normalize: Param[bool] = param_of(
        "normalize",
        "whether to divide each row's feature values by their Euclidean length, in training and in scoring",
        TypeConverters.toBoolean,
    )
    handleInvalid: Param[str] = param_of(
        "handleInvalid",
        "what becomes of a row that can't be scored (null, of another size, not finite): error (its sentence), "
        "skip (the row is left out) or keep (its prediction is NaN); training takes valid rows only",
        one_of("handleInvalid", INVALID),
    )
    maxIter: Param[int] = param_of(
        "maxIter", "number of epochs (passes over the data) at most; >= 0", whole("maxIter", 0)
    )
    stepSize: Param[float] = param_of(
        "stepSize",
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
        "relative improvement of the loss below which an epoch counts as no improvement; >= 0",
        not_negative("tol"),
    )
    solver: Param[str] = param_of(
        "solver",
        f"optimization algorithm, one of: {', '.join(SOLVERS)}; pyspark.ml's gd and adamW stand for adagrad",
        solver_of,
    )
    regParam: Param[float] = param_of(
        "regParam",
        "L2 penalty on the weights and factors that a row touches; where set, it takes the place of the "
        "defaults of regParamLinear and regParamFactors; >= 0",
        not_negative("regParam"),
    )
    regParamLinear: Param[float] = param_of(
        "regParamLinear",
        "L2 penalty on the weights of the features of a row; overrides regParam; >= 0",
        not_negative("regParamLinear"),
    )
    regParamFactors: Param[float] = param_of(
        "regParamFactors",
        "L2 penalty on the factors of the features of a row; overrides regParam; >= 0",
        not_negative("regParamFactors"),
    )
    regParamPrior: Param[float] = param_of(
        "regParamPrior",
        "strength of a Gaussian prior on weights and factors, which shrinks a feature the more the rarer it "
        "is; unless set, training begins with a thirtieth of the default, goes over to the default when the "
        "validation loss gets no better, and back when that made it worse; where regParam is set, 0 unless "
        "set itself; >= 0",
        not_negative("regParamPrior"),
    )
    fitLinear: Param[bool] = param_of(
        "fitLinear",
        "whether to fit the linear term (aka 1-way term)",
        TypeConverters.toBoolean,
    )
    miniBatchFraction: Param[float] = param_of(
        "miniBatchFraction",
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
        "standard deviation of the initial factors; >= 0",
        not_negative("initStd"),
    )
    patience: Param[int] = param_of(
        "patience",
        "epochs without improvement of the validation loss after which training stops; >= 1",
        whole("patience", 1),
    )
    validationFraction: Param[float] = param_of(
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
    numPartitions: Param[int] = param_of(
        "numPartitions",
        "partitions to train on; 0 decides by the work",
        whole("numPartitions", 0),
    )
    roundsPerEpoch: Param[int] = param_of(
        "roundsPerEpoch",
        "merges of the partitions' updates per epoch; 0 decides by rows and partitions",
        whole("roundsPerEpoch", 0),
    )
    verbose: Param[bool] = param_of(
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
            solver=DEFAULT_SOLVER,
            factorSize=8,
            normalize=False,
            handleInvalid="error",
            seed=0,
            patience=7,
            validationFraction=0.1,
            numPartitions=0,
            roundsPerEpoch=0,
            verbose=False,
        )

    def _set(self: P, **kwargs: Any) -> P:
        for name in [name for name, value in kwargs.items() if value is None]:
            self.clear(self.getParam(name))
            del kwargs[name]
        return super()._set(**kwargs)

    def _output_columns(self) -> list[str]:
        """Names of the columns that scoring adds; an empty name adds none."""
        return [self.getPredictionCol()]

    def _check_scoring(self, dataset: DataFrame) -> None:
        """Check that the columns that scoring adds are new.

        Raises
        ------
        ValueError
            When the dataset has such a column, or two of them have the same name.
        """
        # Spark tells no upper from lower case: it would replace the column.
        taken = {name.lower() for name in dataset.columns}
        for name in filter(None, self._output_columns()):
            if name.lower() in taken:
                raise ValueError(f"Output column {name} already exists.")
            taken.add(name.lower())

    def _penalty(self, own: "Param[float]") -> float:
        """An explicit penalty of a part, else an explicit regParam, else the part's default."""
        if not self.isSet(own) and self.isSet(self.regParam):
            return self.getOrDefault(self.regParam)
        return self.getOrDefault(own)

    def getFactorSize(self) -> int:
        """Gets the value of factorSize or its default value."""
        return self.getOrDefault(self.factorSize)

    def getNormalize(self) -> bool:
        """Gets the value of normalize or its default value."""
        return self.getOrDefault(self.normalize)

    def getHandleInvalid(self) -> str:
        """Gets the value of handleInvalid or its default value."""
        return self.getOrDefault(self.handleInvalid)

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

    def getVerbose(self) -> bool:
        """Gets the value of verbose or its default value."""
        return self.getOrDefault(self.verbose)


class FMEstimatorParams(FMParams):
    """What an estimator has and its models have not."""

    initialModel: Param[Any] = param_of(
        "initialModel",
        "model to start from; features that it does not know get fresh parameters",
        model_of,
    )

    def getInitialModel(self) -> Any:
        """Gets the model to start from, None when there is none."""
        return self.getOrDefault(self.initialModel) if self.isDefined(self.initialModel) else None
