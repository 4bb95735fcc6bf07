"""What a fit in rounds takes where the cluster refuses to cache, with cacheDir and without.

python -m benchmarks.caching [--rows 400000] [--epochs 5] [--repeats 2]

It needs `pyspark[connect]`: a Spark Connect server of two cores, whose sessions refuse as serverless compute of
Databricks does (tests/places/serverless.py). Rows have ids of ten fields and lie in Parquet; all ways take turns, and
the least of some times counts.
"""

from contextlib import nullcontext
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common import parser, publish, show, spark_session, timed

FIELDS, VALUES, PARTITIONS = 10, 20_000, 4
CACHED, REFUSED = "cached", "refused"
WAYS = {
    CACHED: (False, False),
    "cached, cacheDir named": (False, True),
    REFUSED: (True, False),
    "refused, cacheDir named": (True, True),
}


def write_rows(spark: Any, rows: int, path: str) -> None:
    """Rows of ids and a label that some of them decide, as Parquet."""
    from pyspark.sql import functions as F

    ids = [
        (F.pmod(F.xxhash64(F.lit(field), "id"), F.lit(VALUES)) + field * VALUES).cast("int")
        for field in range(FIELDS)
    ]
    made = spark.range(0, rows, 1, PARTITIONS).select(F.array(*ids).alias("features"))
    label = F.sin(F.col("features")[0] * 1.3) + F.cos(F.col("features")[1] * 0.9)
    made.withColumn("label", label).write.parquet(path)


def seconds(frame: Any, folder: str, epochs: int, refused: bool, named: bool) -> tuple[float, Any]:
    """The time of a fit in rounds, and its model."""
    from spark_fm import FMRegressor
    from tests.places.serverless import refusing

    estimator = FMRegressor(
        factorSize=8,
        maxIter=epochs,
        validationFraction=0.0,
        tol=0.0,
        numPartitions=PARTITIONS,
        roundsPerEpoch=8,
    )
    if named:
        estimator.setCacheDir(folder)
    with refusing() if refused else nullcontext():
        model, spent = timed(lambda: estimator.fit(frame))
    return spent, model


def compared(spark: Any, rows: int, epochs: int, repeats: int) -> list[dict[str, object]]:
    """A row for each way."""
    with TemporaryDirectory() as folder:
        write_rows(spark, rows, f"{folder}/rows")
        frame = spark.read.parquet(f"{folder}/rows")
        seconds(frame, folder, 1, False, False)
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        models = {}
        for _ in range(repeats):
            for way, (refused, named) in WAYS.items():
                spent, models[way] = seconds(frame, f"{folder}/cache", epochs, refused, named)
                times[way].append(spent)
                show(f"{way}: {spent:.1f} s")
    least = {way: min(found) for way, found in times.items()}
    return [
        {
            "way": way,
            "rows": rows,
            "epochs": epochs,
            "fit time": least[way] / least[CACHED],
            "the same model": bool((models[way].weights.factors == models[CACHED].weights.factors).all()),
        }
        for way in WAYS
    ]


def main() -> None:
    """Measure and publish."""
    options = parser(__doc__.partition("\n")[0])
    options.add_argument("--rows", type=int, default=400_000)
    options.add_argument("--epochs", type=int, default=5, help="of eight rounds each")
    options.add_argument("--repeats", type=int, default=2)
    given = options.parse_args()
    spark = spark_session(memory=given.memory, connect=True)
    try:
        publish("caching", [("ways", compared(spark, given.rows, given.epochs, given.repeats))], given.output)
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
