"""What explainCol costs beside scoring: the same rows, scored with and without reasons.

python -m benchmarks.explaining [--rows 200000] [--fields 5 10 39]

A row has one feature of each field, drawn evenly from 2^20 named ones; the model's parameters are drawn at random, as
their values cost no time. Both sides take turns, and the least of some times counts.
"""

from typing import Any

import numpy as np

from benchmarks.common import parser, publish, show, spark_session, timed

FEATURES = 2**20
FACTORS = 16


def model_of(fields: int) -> Any:
    """A model of so many fields, all features of which have names and parameters."""
    from spark_fm import FMRegressionModel
    from spark_fm.core.fm.fields import Field, FieldLayout
    from spark_fm.core.fm.weights import Weights

    random, size = np.random.default_rng(0), FEATURES // fields
    features = np.arange(size * fields)
    made = FMRegressionModel()
    made._weights = Weights(
        features,
        random.standard_normal(features.size, np.float32),
        random.standard_normal((features.size, FACTORS), np.float32),
        0.0,
    )
    made._num_features = features.size
    layout = tuple(Field(f"field {number}", number * size, size) for number in range(fields))
    made._fields = FieldLayout(layout, {i: f"value {i % size}" for i in range(features.size)})
    return made


def rows_of(spark: Any, rows: int, fields: int) -> Any:
    """Rows of a feature of each field, cached."""
    from pyspark.sql import functions as F

    size = FEATURES // fields
    ids = [(F.floor(F.rand(number) * size) + number * size).cast("int") for number in range(fields)]
    made = spark.range(0, rows, 1, 2).select(F.array(*ids).alias("features")).persist()
    made.count()
    return made


def seconds(model: Any, rows: Any) -> float:
    """The time to score all rows."""
    _, spent = timed(lambda: model.transform(rows).write.format("noop").mode("overwrite").save())
    return spent


def compared(spark: Any, rows: int, fields: int, repeats: int) -> dict[str, object]:
    """Seconds with and without reasons, and their ratio."""
    frame, plain = rows_of(spark, rows, fields), model_of(fields)
    explained = plain.copy().setExplainCol("why")
    try:
        # The first turn compiles, and ships the models.
        times = [(seconds(plain, frame), seconds(explained, frame)) for _ in range(repeats + 1)][1:]
    finally:
        frame.unpersist()
    scoring, explaining = (min(spent) for spent in zip(*times, strict=True))
    return {
        "fields": fields,
        "parts of a row": fields * (fields + 1) // 2,
        "rows": rows,
        "scored s": scoring,
        "explained s": explaining,
        "ratio": explaining / scoring,
        "rows explained a second": round(rows / explaining),
    }


def main() -> None:
    """Measure and publish."""
    options = parser("Time of explainCol beside scoring")
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--fields", type=int, nargs="+", default=[5, 10, 39])
    options.add_argument("--repeats", type=int, default=4)
    args = options.parse_args()
    spark = spark_session(memory=args.memory)
    try:
        table = []
        for fields in args.fields:
            table.append(compared(spark, args.rows, fields, args.repeats))
            show(str(table[-1]))
    finally:
        spark.stop()
    publish(
        "explaining",
        [(f"explainCol of 5 parts, {FACTORS} factors, arrays of ids, 2 cores", table)],
        args.output,
    )


if __name__ == "__main__":
    main()
