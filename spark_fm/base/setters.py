"""The setters of the estimators' params, as pyspark.ml spells them."""

# Written by `python -m benchmarks.params` from params.py.

from typing import Any, TypeVar

from spark_fm.base.params import FMEstimatorParams

S = TypeVar("S", bound="FMSetters")


class FMSetters(FMEstimatorParams):
    """``setX(value)`` for each param x of the estimators; returns the estimator itself."""

    def setFeaturesCol(self: S, value: str) -> S:
        """Sets the value of featuresCol."""
        return self._set(featuresCol=value)

    def setLabelCol(self: S, value: str) -> S:
        """Sets the value of labelCol."""
        return self._set(labelCol=value)

    def setPredictionCol(self: S, value: str) -> S:
        """Sets the value of predictionCol."""
        return self._set(predictionCol=value)

    def setFactorSize(self: S, value: int) -> S:
        """Sets the value of factorSize."""
        return self._set(factorSize=value)

    def setFitIntercept(self: S, value: bool) -> S:
        """Sets the value of fitIntercept."""
        return self._set(fitIntercept=value)

    def setFitLinear(self: S, value: bool) -> S:
        """Sets the value of fitLinear."""
        return self._set(fitLinear=value)

    def setRegParam(self: S, value: float) -> S:
        """Sets the value of regParam."""
        return self._set(regParam=value)

    def setMiniBatchFraction(self: S, value: float) -> S:
        """Sets the value of miniBatchFraction."""
        return self._set(miniBatchFraction=value)

    def setInitStd(self: S, value: float) -> S:
        """Sets the value of initStd."""
        return self._set(initStd=value)

    def setMaxIter(self: S, value: int) -> S:
        """Sets the value of maxIter."""
        return self._set(maxIter=value)

    def setStepSize(self: S, value: float) -> S:
        """Sets the value of stepSize."""
        return self._set(stepSize=value)

    def setTol(self: S, value: float) -> S:
        """Sets the value of tol."""
        return self._set(tol=value)

    def setSolver(self: S, value: str) -> S:
        """Sets the value of solver."""
        return self._set(solver=value)

    def setSeed(self: S, value: int) -> S:
        """Sets the value of seed."""
        return self._set(seed=value)

    def setWeightCol(self: S, value: str) -> S:
        """Sets the value of weightCol."""
        return self._set(weightCol=value)

    def setInitialModel(self: S, value: Any) -> S:
        """Sets the value of initialModel."""
        return self._set(initialModel=value)

    def setCacheDir(self: S, value: str) -> S:
        """Sets the value of cacheDir."""
        return self._set(cacheDir=value)

    def setNormalize(self: S, value: bool) -> S:
        """Sets the value of normalize."""
        return self._set(normalize=value)

    def setHandleInvalid(self: S, value: str) -> S:
        """Sets the value of handleInvalid."""
        return self._set(handleInvalid=value)

    def setRegParamLinear(self: S, value: float) -> S:
        """Sets the value of regParamLinear."""
        return self._set(regParamLinear=value)

    def setRegParamFactors(self: S, value: float) -> S:
        """Sets the value of regParamFactors."""
        return self._set(regParamFactors=value)

    def setRegParamPrior(self: S, value: float) -> S:
        """Sets the value of regParamPrior."""
        return self._set(regParamPrior=value)

    def setPatience(self: S, value: int) -> S:
        """Sets the value of patience."""
        return self._set(patience=value)

    def setValidationFraction(self: S, value: float) -> S:
        """Sets the value of validationFraction."""
        return self._set(validationFraction=value)

    def setValidationMetric(self: S, value: str) -> S:
        """Sets the value of validationMetric."""
        return self._set(validationMetric=value)

    def setNumPartitions(self: S, value: int) -> S:
        """Sets the value of numPartitions."""
        return self._set(numPartitions=value)

    def setRoundsPerEpoch(self: S, value: int) -> S:
        """Sets the value of roundsPerEpoch."""
        return self._set(roundsPerEpoch=value)

    def setVerbose(self: S, value: bool) -> S:
        """Sets the value of verbose."""
        return self._set(verbose=value)

    def setRegParamByField(self: S, value: dict[str, float]) -> S:
        """Sets the value of regParamByField."""
        return self._set(regParamByField=value)

    def setMinFactorCount(self: S, value: int) -> S:
        """Sets the value of minFactorCount."""
        return self._set(minFactorCount=value)

    def setNonnegative(self: S, value: bool) -> S:
        """Sets the value of nonnegative."""
        return self._set(nonnegative=value)

    def setExplainCol(self: S, value: str) -> S:
        """Sets the value of explainCol."""
        return self._set(explainCol=value)

    def setExplainTop(self: S, value: int) -> S:
        """Sets the value of explainTop."""
        return self._set(explainTop=value)

    def setCheckpointDir(self: S, value: str) -> S:
        """Sets the value of checkpointDir."""
        return self._set(checkpointDir=value)

    def setCheckpointInterval(self: S, value: int) -> S:
        """Sets the value of checkpointInterval."""
        return self._set(checkpointInterval=value)

    def setKeepOptimizerState(self: S, value: bool) -> S:
        """Sets the value of keepOptimizerState."""
        return self._set(keepOptimizerState=value)

    def setValidationIndicatorCol(self: S, value: str) -> S:
        """Sets the value of validationIndicatorCol."""
        return self._set(validationIndicatorCol=value)
