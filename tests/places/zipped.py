"""A job for spark-submit --py-files: fit and score where spark_fm comes from a zip, on the driver and on the workers.

Its last line is JSON: where the two have it from, and how many rows were scored.
"""

import json
import sys
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import SparkSession

import spark_fm
from spark_fm import FMRegressor


def where(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for _ in batches:
        yield pa.RecordBatch.from_pylist([{"file": spark_fm.__file__}])


def main() -> None:
    spark = SparkSession.builder.getOrCreate()
    (row,) = spark.range(0, 1, 1, 1).mapInArrow(where, "file string").collect()
    rows = [([i % 5, 5 + i % 3], float(i % 4)) for i in range(200)]
    data = spark.createDataFrame(rows, "features array<int>, label double").coalesce(1)
    scored = FMRegressor(maxIter=2, numPartitions=2).fit(data).transform(data).collect()
    spark.stop()
    told = {"driver": spark_fm.__file__, "workers": row.file, "scored": len(scored)}
    sys.stdout.write("\n" + json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
