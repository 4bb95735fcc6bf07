"""In which type keys of two types are compared."""

import pytest
from pyspark.sql.types import (
    ByteType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NullType,
    ShortType,
    StringType,
    TimestampType,
)

from spark_fm.engine.packing.keys import exact_type


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (IntegerType(), LongType(), LongType()),
        (ByteType(), ShortType(), ShortType()),
        (StringType(), StringType(), StringType()),
        (DateType(), NullType(), DateType()),
        (LongType(), DecimalType(20, 0), DecimalType(20, 0)),
        (LongType(), DecimalType(10, 2), DecimalType(21, 2)),
        (IntegerType(), DecimalType(4, 0), DecimalType(10, 0)),
        (DecimalType(38, 18), DecimalType(20, 0), DecimalType(38, 18)),
        (DecimalType(38, 0), DecimalType(38, 1), None),
        (LongType(), DecimalType(38, 30), None),
        (StringType(), IntegerType(), None),
        (DoubleType(), LongType(), None),
        (DoubleType(), FloatType(), None),
        (DateType(), TimestampType(), None),
    ],
)
def test_the_type_holds_every_value_of_both(one, other, expected):
    assert exact_type(one, other) == expected
    assert exact_type(other, one) == expected
