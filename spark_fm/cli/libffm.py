"""Text in libffm's format: a label, then ``field:feature:value`` for each entry of a row."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

LIBFFM = "libffm"


def read_libffm(spark: SparkSession, path: str) -> DataFrame:
    """The columns label double, and features, a struct of ids and values.

    A feature's number tells it from all others, so its field's is not needed. What is no number is null, which training
    refuses.
    """
    line = spark.read.text(path).where(F.trim("value") != "")
    parts = F.split(F.trim("value"), r"\s+").alias("parts")
    entries = "slice(parts, 2, size(parts))"
    ids = f"transform({entries}, e -> try_cast(split_part(e, ':', 2) AS BIGINT))"
    values = f"transform({entries}, e -> try_cast(split_part(e, ':', 3) AS DOUBLE))"
    return line.select(parts).select(
        F.expr("try_cast(parts[0] AS DOUBLE)").alias("label"),
        F.struct(F.expr(ids).alias("ids"), F.expr(values).alias("values")).alias("features"),
    )
