"""Encoding events beside pyspark.ml's stages: the time to learn, and to encode all rows.

python -m benchmarks.encoding [--rows 1000000]

Events have five categorical columns, of 100,000, 20,000, 1,000, 24 and 7 values with Zipf's frequencies, as strings and
integers, in Parquet. Both sides take turns, and the least of some times counts.
"""

import tempfile
from typing import Any

from benchmarks.common import parser, publish, show, spark_session, timed

VALUES = {"user": 100_000, "item": 20_000, "tag": 1_000, "hour": 24, "weekday": 7}


def events_of(spark: Any, rows: int, folder: str) -> Any:
    """So many events, read from Parquet."""
    from pyspark.sql import functions as F

    columns = []
    for seed, (name, size) in enumerate(VALUES.items()):
        # The inverse of a continuous Zipf distribution of exponent 1.
        rank = F.floor(F.exp(F.rand(seed) * F.log(F.lit(float(size + 1))))).cast("int")
        columns.append((F.concat(F.lit(f"{name}-"), rank) if size > 100 else rank).alias(name))
    path = f"{folder}/events"
    spark.range(0, rows, 1, 8).select(*columns).write.parquet(path)
    return spark.read.parquet(path)


def ours(events: Any) -> tuple[float, float]:
    """Seconds to learn and to encode."""
    from spark_fm.feature import FieldEncoder, categorical

    encoder = FieldEncoder(fields=[categorical(name) for name in VALUES])
    model, learned = timed(lambda: encoder.fit(events))
    _, encoded = timed(
        lambda: model.transform(events).select("features").write.format("noop").mode("overwrite").save()
    )
    return learned, encoded


def sparks(events: Any) -> tuple[float, float]:
    """The same with StringIndexer, OneHotEncoder and VectorAssembler."""
    from pyspark.ml import Pipeline
    from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler

    names = list(VALUES)
    indices, vectors = [f"{name}_index" for name in names], [f"{name}_vector" for name in names]
    stages = [
        StringIndexer(inputCols=names, outputCols=indices, handleInvalid="keep"),
        OneHotEncoder(inputCols=indices, outputCols=vectors, handleInvalid="keep"),
        VectorAssembler(inputCols=vectors, outputCol="features"),
    ]
    model, learned = timed(lambda: Pipeline(stages=stages).fit(events))
    _, encoded = timed(
        lambda: model.transform(events).select("features").write.format("noop").mode("overwrite").save()
    )
    return learned, encoded


def main() -> None:
    """Measure and publish."""
    options = parser("Time of FieldEncoder beside StringIndexer, OneHotEncoder and VectorAssembler")
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--repeats", type=int, default=2)
    args = options.parse_args()
    spark = spark_session(memory=args.memory)
    try:
        with tempfile.TemporaryDirectory() as folder:
            events = events_of(spark, args.rows, folder)
            times = [(ours(events), sparks(events)) for _ in range(args.repeats + 1)][1:]
    finally:
        spark.stop()
    table = []
    for way, side in (("FieldEncoder", 0), ("StringIndexer, OneHotEncoder, VectorAssembler", 1)):
        learned, encoded = min((turn[side] for turn in times), key=sum)
        table.append(
            {
                "way": way,
                "rows": args.rows,
                "learn s": learned,
                "encode s": encoded,
                "both s": learned + encoded,
            }
        )
    for row in table:
        row["times FieldEncoder's"] = row["both s"] / table[0]["both s"]
        show(str(row))
    publish("encoding", [("Five categorical columns, 2 cores", table)], args.output)


if __name__ == "__main__":
    main()
