"""By what a fit knows its own checkpoints."""

import json
import zlib

from pyspark.ml.param import Params

from spark_fm.base.params import FMEstimatorParams
from spark_fm.core.fm.weights import Weights
from spark_fm.engine.packing.packed_data import PackedData
from spark_fm.engine.scoring.model_table import checksum
from spark_fm.engine.training.checkpoints import Checkpoints

# What these say of the rows is in the checksum of the rows.
COLUMNS = {"featuresCol", "labelCol", "weightCol", "validationIndicatorCol", "normalize"}
# The weights do not depend on these.
OF_SCORING = {
    "predictionCol", "probabilityCol", "rawPredictionCol", "threshold", "thresholds", "handleInvalid", "explainCol",
    "explainTop",
}  # fmt: skip
OF_THE_RUN = {"verbose", "cacheDir", "checkpointDir", "checkpointInterval"}
OTHERWISE = {"initialModel"}
# Below checkpointDir; all in it is removed when the fit has ended.
FOLDER = "spark_fm-fit"


def checkpoints_of(
    estimator: FMEstimatorParams, packed: PackedData, initial: Weights | None, apart: bool
) -> Checkpoints | None:
    """The checkpoints of a fit, None where it has none; those of fits that are ``apart`` have folders of their own.

    Raises
    ------
    ValueError, OSError
        As of :class:`Checkpoints`.
    """
    folder = estimator.getCheckpointDir().rstrip("/")
    if not folder:
        return None
    key = _params(estimator) | {
        "rows": packed.checksum(),
        "initialModel": None if initial is None else checksum(initial),
    }
    own = f"-{zlib.crc32(json.dumps(key, sort_keys=True).encode()):08x}" if apart else ""
    return Checkpoints.of(packed.spark, f"{folder}/{FOLDER}{own}", estimator.getCheckpointInterval(), key)


def _params(estimator: Params) -> dict[str, object]:
    """What the weights depend on besides the rows."""
    without = COLUMNS | OF_SCORING | OF_THE_RUN | OTHERWISE
    named = [param for param in estimator.params if param.name not in without and estimator.isDefined(param)]
    return {param.name: estimator.getOrDefault(param) for param in named}
