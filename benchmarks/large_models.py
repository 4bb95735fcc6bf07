"""A model of ten million features, fitted in rounds, scored, saved and loaded, on classic Spark and on Spark Connect.

python -m benchmarks.large_models [--features 10000000] [--factors 16] [--places classic connect]

It needs `pyspark[connect]`, and for ten million features 21 GB. Each place is a process of its own, with a Spark of two
cores; each feature is in one row, fifty in each, and the fit has one epoch of one round. A time is told as a multiple
of that on classic Spark.
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common import OTHERS, parser, publish, show, spark_session, timed

IN_A_ROW, SCORED = 50, 20_000
PLACES = ("classic", "connect")
STEPS = ("fit", "score", "save", "load and score")


def measured(place: str, features: int, factors: int, memory: str) -> dict[str, object]:
    """Seconds of the steps and peak memory in one place."""
    from pyspark.sql import functions as F

    from benchmarks.memory import PeakMemory
    from spark_fm import FMRegressionModel, FMRegressor

    spark = spark_session(memory=memory, connect=place == "connect")
    first = F.col("id") * IN_A_ROW
    rows = spark.range(0, features // IN_A_ROW, 1, 4).select(
        F.sequence(first, first + (IN_A_ROW - 1)).alias("features"), F.sin("id").alias("label")
    )
    estimator = FMRegressor(
        factorSize=factors, maxIter=1, numPartitions=2, roundsPerEpoch=1, validationFraction=0.0, tol=0.0
    )

    def score(model: Any) -> float:
        return float(model.transform(rows.limit(SCORED)).agg(F.sum("prediction")).first()[0])

    with TemporaryDirectory() as folder, PeakMemory() as memory_used:
        model, fit = timed(lambda: estimator.fit(rows))
        total, scoring = timed(lambda: score(model))
        _, saving = timed(lambda: model.save(f"{folder}/model"))
        again, loading = timed(lambda: score(FMRegressionModel.load(f"{folder}/model")))
    others = OTHERS.share()
    spark.stop()
    if model.numFeatures < features or total != again:
        raise RuntimeError(f"{place}: found {model.numFeatures} features, sums {total} and {again}")
    seconds = dict(zip(STEPS, (fit, scoring, saving, loading), strict=True))
    return {"seconds": seconds, "prediction": total, "memory": memory_used.columns(), "others": others}


def table(found: dict[str, dict[str, Any]], features: int, factors: int) -> list[dict[str, object]]:
    """A row for each place; times as multiples of the first place's."""
    base = next(iter(found.values()))
    return [
        {
            "place": place,
            "features": features,
            "factors": factors,
            **{step: one["seconds"][step] / base["seconds"][step] for step in STEPS},
            "the same predictions": one["prediction"] == base["prediction"],
            **one["memory"],
        }
        for place, one in found.items()
    ]


def main() -> None:
    """Measure each place in a process of its own, and publish."""
    options = parser(__doc__.partition("\n")[0])
    options.add_argument("--features", type=int, default=10_000_000)
    options.add_argument("--factors", type=int, default=16)
    options.add_argument("--places", nargs="+", choices=PLACES, default=list(PLACES))
    options.add_argument(
        "--into", type=Path, help="measure the first place in this process, and write to this file"
    )
    given = options.parse_args()
    if given.into:
        one = measured(given.places[0], given.features, given.factors, given.memory)
        given.into.write_text(json.dumps(one), "utf-8")
        return
    found = {}
    with TemporaryDirectory() as folder:
        for place in given.places:
            into = Path(folder) / place
            command = [
                sys.executable,
                "-m",
                "benchmarks.large_models",
                "--places",
                place,
                "--into",
                str(into),
            ]
            for name in ("features", "factors", "memory"):
                command += [f"--{name}", str(getattr(given, name))]
            subprocess.run(command, check=True)
            found[place] = json.loads(into.read_text("utf-8"))
            show(f"{place}: {found[place]}")
    others = max(one["others"] for one in found.values())
    publish("large_models", [("places", table(found, given.features, given.factors))], given.output, others)


if __name__ == "__main__":
    main()
