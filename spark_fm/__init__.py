"""Factorization Machines trained as a distributed job on Apache Spark."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spark_fm.base.callback import FitCallback
    from spark_fm.classification import FMClassificationModel, FMClassifier
    from spark_fm.regression import FMRegressionModel, FMRegressor

__all__ = ["FMClassificationModel", "FMClassifier", "FMRegressionModel", "FMRegressor", "FitCallback"]
__version__ = "0.2.0"


def __getattr__(name: str) -> object:
    # Workers import this package for its kernel only; pyspark.ml would cost each of them a second.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = (
        "base.callback" if name == "FitCallback" else "classification" if "Classif" in name else "regression"
    )
    return getattr(import_module(f"spark_fm.{module}"), name)
