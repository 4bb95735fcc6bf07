"""Factorization Machines trained as a distributed job on Apache Spark."""

from spark_fm.classification import FMClassificationModel, FMClassifier
from spark_fm.regression import FMRegressionModel, FMRegressor

__all__ = ["FMClassificationModel", "FMClassifier", "FMRegressionModel", "FMRegressor"]
__version__ = "0.1.0"
