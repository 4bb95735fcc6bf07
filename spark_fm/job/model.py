"""Loading a saved pipeline."""

from pyspark.ml import PipelineModel
from pyspark.sql import SparkSession

from spark_fm.engine.folders import holds_something
from spark_fm.model import FMModel


def load_model(spark: SparkSession, path: str) -> PipelineModel:
    """The pipeline at a path.

    Raises
    ------
    ValueError
        When there is none, or its last stage is not a Factorization Machine of this package.
    """
    if not holds_something(spark, f"{path}/metadata"):
        raise ValueError(f"model.path: there is no model at {path}")
    model = PipelineModel.load(path)
    if not isinstance(model.stages[-1], FMModel):
        raise ValueError(
            f"model.path: the last stage of the pipeline at {path} is a {type(model.stages[-1]).__name__}, "
            "expected a Factorization Machine of spark_fm"
        )
    return model
