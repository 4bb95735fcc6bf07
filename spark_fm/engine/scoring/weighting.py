"""Weights of rows in metrics, brought to a size at which sums of them, and of their products, stay finite."""

import math

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_fm.engine.cluster.execute import collect
from spark_fm.engine.packing.columns import number_of

LARGEST_EXPONENT = 1023


def scaled_weight(dataset: DataFrame, name: str, param: str) -> Column:
    """A column of weights as double, divided by a power of two, so that the largest is in [1, 2).

    Metrics depend on the ratios of weights only, which a power of two leaves as they are. One job looks for the
    largest. Where none is above 0 and finite, weights are as they are.

    Raises
    ------
    ValueError, TypeError
        When there is no such column, or it holds something else than numbers.
    """
    weight = number_of(dataset, name, param)
    usable = F.when((weight > 0.0) & (weight < float("inf")), weight)
    largest = collect(dataset.select(usable.alias("w")).agg(F.max("w").alias("w")))[0]["w"]
    if largest is None:
        return weight
    exponent = min(LARGEST_EXPONENT, 1 - math.frexp(largest)[1])
    # In two steps, as one factor may be too small for a double.
    half = exponent // 2
    return weight * math.ldexp(1.0, half) * math.ldexp(1.0, exponent - half)
