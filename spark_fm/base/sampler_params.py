"""Params of what is sampled, which the regressor and its model have."""

from typing import Any

from pyspark.ml.param import Param, Params, TypeConverters

from spark_fm.base.converters import whole

SAMPLER_DEFAULTS: dict[str, Any] = {"samplerFactorSize": 0, "numChains": 2, "predictionStdCol": ""}


class SamplerParams(Params):
    """Params of the solver gibbs."""

    samplerFactorSize: Param[int] = Param(
        Params._dummy(),
        "samplerFactorSize",
        "length of the factor vectors that solver gibbs draws, whose mean is compressed to factorSize; "
        "0: as factorSize",
        typeConverter=whole("samplerFactorSize", 0),
    )
    numChains: Param[int] = Param(
        Params._dummy(),
        "numChains",
        "chains of solver gibbs, each in a task of its own that has all rows; in rounds there is one; >= 1",
        typeConverter=whole("numChains", 1),
    )
    predictionStdCol: Param[str] = Param(
        Params._dummy(),
        "predictionStdCol",
        "column of the standard deviation of each row's label around its prediction, for which a fit by solver gibbs "
        "keeps some samples; empty for none",
        typeConverter=TypeConverters.toString,
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(**SAMPLER_DEFAULTS)

    def getSamplerFactorSize(self) -> int:
        """Gets the value of samplerFactorSize or its default value."""
        value: int = self.getOrDefault("samplerFactorSize")
        return value

    def getNumChains(self) -> int:
        """Gets the value of numChains or its default value."""
        value: int = self.getOrDefault("numChains")
        return value

    def getPredictionStdCol(self) -> str:
        """Gets the value of predictionStdCol or its default value."""
        value: str = self.getOrDefault("predictionStdCol")
        return value
