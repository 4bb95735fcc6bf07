"""Weights of rows in metrics, brought to a size at which sums of them, and of their products, stay finite."""

import math

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.packing.columns import number_of


def weight_unit(dataset: DataFrame, name: str, param: str) -> float:
    """The largest power of two that is not above the largest finite weight of a column; 1 where none is above 0.

    Metrics depend on the ratios of weights only, and a power of two leaves these as they are. It takes a job.

    Raises
    ------
    ValueError, TypeError
        When there is no such column, or it holds something else than numbers.
    """
    weight = number_of(dataset, name, param)
    usable = F.when((weight > 0.0) & (weight < float("inf")), weight)
    largest = collect(dataset.select(usable.alias("w")).agg(F.max("w").alias("w")))[0]["w"]
    return 1.0 if largest is None else math.ldexp(1.0, math.frexp(largest)[1] - 1)


def scaled_weight(dataset: DataFrame, name: str, param: str) -> Column:
    """A column of weights as double, in units of :func:`weight_unit`, which raises the same."""
    return number_of(dataset, name, param) / weight_unit(dataset, name, param)
