"""How good predictions and rankings are, and fair splits to measure them on: docs/evaluation.md.

Evaluators take the place of pyspark.ml.evaluation's in CrossValidator and TrainValidationSplit, on classic Spark and on
Spark Connect. Metrics are computed by Spark's own expressions: no Python per row, and only sums reach the driver.
"""

from spark_fm.evaluation.calibration import plotCalibration
from spark_fm.evaluation.classification import FMClassificationEvaluator
from spark_fm.evaluation.ranking import RankingEvaluator
from spark_fm.evaluation.ranking_metrics import RankingMetrics
from spark_fm.evaluation.recommendations import recommendationMetrics
from spark_fm.evaluation.splits import leaveLastOut, timeSplit

__all__ = [
    "FMClassificationEvaluator",
    "RankingEvaluator",
    "RankingMetrics",
    "leaveLastOut",
    "plotCalibration",
    "recommendationMetrics",
    "timeSplit",
]
