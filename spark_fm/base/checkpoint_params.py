"""Params of what training goes on from, which the estimators have and their models have not."""

from typing import Any

from pyspark.ml.param import Param, Params, TypeConverters

from spark_fm.base.converters import checked

CHECKPOINT_DEFAULTS: dict[str, Any] = {
    "checkpointDir": "",
    "checkpointInterval": 10,
    "keepOptimizerState": False,
}


class CheckpointParams(Params):
    """Where and how often a fit in rounds is written down, and whether models can be trained on."""

    checkpointDir: Param[str] = Param(
        Params._dummy(),
        "checkpointDir",
        "folder, on any file system that Spark knows, in which a fit in rounds writes down how far it is: the same "
        "fit, started again after its driver died, goes on from there; empty for none",
        typeConverter=TypeConverters.toString,
    )
    checkpointInterval: Param[int] = Param(
        Params._dummy(),
        "checkpointInterval",
        "number of epochs, or of solver gibbs sweeps, from one checkpoint to the next; >= 1, or -1 for none",
        typeConverter=checked(
            "checkpointInterval",
            TypeConverters.toInt,
            lambda value: value == -1 or value >= 1,
            "an integer >= 1, or -1",
        ),
    )

    keepOptimizerState: Param[bool] = Param(
        Params._dummy(),
        "keepOptimizerState",
        "whether the model keeps AdaGrad's sums of squared gradients, 8 bytes a feature, and training goes on with "
        "those that initialModel has: steps are then as small as they were at its end",
        typeConverter=TypeConverters.toBoolean,
    )

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._setDefault(**CHECKPOINT_DEFAULTS)

    def getCheckpointDir(self) -> str:
        """Gets the value of checkpointDir or its default value."""
        value: str = self.getOrDefault("checkpointDir")
        return value

    def getCheckpointInterval(self) -> int:
        """Gets the value of checkpointInterval or its default value."""
        value: int = self.getOrDefault("checkpointInterval")
        return value

    def getKeepOptimizerState(self) -> bool:
        """Gets the value of keepOptimizerState or its default value."""
        value: bool = self.getOrDefault("keepOptimizerState")
        return value
