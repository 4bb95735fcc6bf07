"""The getters of the params."""

# Written by `python -m benchmarks.params` from params.py.

from pyspark.ml.param import Params


class FMGetters(Params):
    """``getX()`` for each param x: its value, or its default."""

    def getFactorSize(self) -> int:
        """Gets the value of factorSize or its default value."""
        value: int = self.getOrDefault(self.getParam("factorSize"))
        return value

    def getFitLinear(self) -> bool:
        """Gets the value of fitLinear or its default value."""
        value: bool = self.getOrDefault(self.getParam("fitLinear"))
        return value

    def getRegParam(self) -> float:
        """Gets the value of regParam or its default value."""
        value: float = self.getOrDefault(self.getParam("regParam"))
        return value

    def getMiniBatchFraction(self) -> float:
        """Gets the value of miniBatchFraction or its default value."""
        value: float = self.getOrDefault(self.getParam("miniBatchFraction"))
        return value

    def getInitStd(self) -> float:
        """Gets the value of initStd or its default value."""
        value: float = self.getOrDefault(self.getParam("initStd"))
        return value

    def getMaxIter(self) -> int:
        """Gets the value of maxIter or its default value."""
        value: int = self.getOrDefault(self.getParam("maxIter"))
        return value

    def getStepSize(self) -> float:
        """Gets the value of stepSize or its default value."""
        value: float = self.getOrDefault(self.getParam("stepSize"))
        return value

    def getTol(self) -> float:
        """Gets the value of tol or its default value."""
        value: float = self.getOrDefault(self.getParam("tol"))
        return value

    def getSolver(self) -> str:
        """Gets the value of solver or its default value."""
        value: str = self.getOrDefault(self.getParam("solver"))
        return value

    def getNormalize(self) -> bool:
        """Gets the value of normalize or its default value."""
        value: bool = self.getOrDefault(self.getParam("normalize"))
        return value

    def getHandleInvalid(self) -> str:
        """Gets the value of handleInvalid or its default value."""
        value: str = self.getOrDefault(self.getParam("handleInvalid"))
        return value

    def getPatience(self) -> int:
        """Gets the value of patience or its default value."""
        value: int = self.getOrDefault(self.getParam("patience"))
        return value

    def getValidationFraction(self) -> float:
        """Gets the value of validationFraction or its default value."""
        value: float = self.getOrDefault(self.getParam("validationFraction"))
        return value

    def getValidationMetric(self) -> str:
        """Gets the value of validationMetric or its default value."""
        value: str = self.getOrDefault(self.getParam("validationMetric"))
        return value

    def getNumPartitions(self) -> int:
        """Gets the value of numPartitions or its default value."""
        value: int = self.getOrDefault(self.getParam("numPartitions"))
        return value

    def getRoundsPerEpoch(self) -> int:
        """Gets the value of roundsPerEpoch or its default value."""
        value: int = self.getOrDefault(self.getParam("roundsPerEpoch"))
        return value

    def getVerbose(self) -> bool:
        """Gets the value of verbose or its default value."""
        value: bool = self.getOrDefault(self.getParam("verbose"))
        return value

    def getMinFactorCount(self) -> int:
        """Gets the value of minFactorCount or its default value."""
        value: int = self.getOrDefault(self.getParam("minFactorCount"))
        return value

    def getNonnegative(self) -> bool:
        """Gets the value of nonnegative or its default value."""
        value: bool = self.getOrDefault(self.getParam("nonnegative"))
        return value

    def getExplainCol(self) -> str:
        """Gets the value of explainCol or its default value."""
        value: str = self.getOrDefault(self.getParam("explainCol"))
        return value

    def getExplainTop(self) -> int:
        """Gets the value of explainTop or its default value."""
        value: int = self.getOrDefault(self.getParam("explainTop"))
        return value
