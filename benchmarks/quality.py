"""Quality and time beside Spark's own models, in one Spark session.

python -m benchmarks.quality --data FOLDER

FOLDER may have ml-latest-small/ratings.csv (MovieLens) and a9a/a9a, a9a/a9a.t (LIBSVM); without it only
pyspark's sample is measured. Fit seconds include packing; Spark is started and the data cached
before. Each model fits twice, the second time counts, except Spark's FM, whose runs are long.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import parser, publish, show, spark_session, timed
from benchmarks.data import Split, real_sets


def ours(split: Split, **params: Any) -> Any:
    """An estimator of spark_fm for the data."""
    from spark_fm import FMClassifier, FMRegressor

    return (FMClassifier if split.binary else FMRegressor)(factorSize=8, **params)


def tuned(split: Split) -> list[tuple[str, Any]]:
    """What a user might try after the defaults."""
    grid = {
        "ml-latest-small": {"stepSize": 0.05, "regParamLinear": 0.01, "regParamFactors": 0.03},
        "a9a": {"stepSize": 0.05, "regParamLinear": 1e-4, "regParamFactors": 1e-3},
    }
    chosen = grid.get(split.name)
    if chosen is None:
        return []
    return [("spark_fm, tuned: " + ", ".join(f"{k} {v}" for k, v in chosen.items()), ours(split, **chosen))]


def theirs(split: Split) -> list[tuple[str, Any]]:
    """Spark's FM with a small grid, and a linear model."""
    from pyspark.ml.classification import FMClassifier, LogisticRegression
    from pyspark.ml.regression import FMRegressor, LinearRegression

    fm = FMClassifier if split.binary else FMRegressor
    models: list[tuple[str, Any]] = []
    for step in (0.01, 0.05, 0.2):
        for iterations in (100, 200):
            name = f"pyspark FM, stepSize {step}, maxIter {iterations}, regParam 0.001"
            models.append((name, fm(factorSize=8, stepSize=step, maxIter=iterations, regParam=0.001, seed=1)))
    if split.binary:
        models.append(("pyspark LogisticRegression", LogisticRegression()))
    else:
        models.append(("pyspark LinearRegression, regParam 0.05", LinearRegression(regParam=0.05)))
    return models


def metrics(split: Split, scored: Any) -> dict[str, object]:
    """RMSE, or log-loss and AUC."""
    from pyspark.ml.evaluation import (
        BinaryClassificationEvaluator,
        MulticlassClassificationEvaluator,
        RegressionEvaluator,
    )

    if not split.binary:
        return {"RMSE": RegressionEvaluator().evaluate(scored)}
    return {
        "log-loss": MulticlassClassificationEvaluator(metricName="logLoss").evaluate(scored),
        "AUC": BinaryClassificationEvaluator().evaluate(scored),
    }


def compare(spark: Any, split: Split) -> list[dict[str, object]]:
    """One table: a row per model."""
    train, test = split.train.frame(spark, split.size), split.test.frame(spark, split.size)
    rows: list[dict[str, object]] = []

    def add(name: str, fit: Callable[[], Any], warm: bool) -> None:
        if warm:
            fit()
        model, seconds = timed(fit)
        scored = model.transform(test)
        rows.append({"model": name, **metrics(split, scored), "fit seconds": seconds})
        show(f"{split.name}: {rows[-1]}")

    add("spark_fm, untuned", lambda: ours(split).fit(train), warm=True)
    for name, estimator in tuned(split):
        add(name, partial(estimator.fit, train), warm=True)
    for name, estimator in theirs(split):
        add(name, partial(estimator.fit, train), warm="FM" not in name)
    first = float(str(rows[0]["fit seconds"]))
    for row in rows:
        row["times spark_fm's seconds"] = float(str(row["fit seconds"])) / first
    train.unpersist()
    test.unpersist()
    return rows


def main() -> None:
    """Measure and publish."""
    options = parser(str(__doc__).splitlines()[0])
    options.add_argument("--data", type=Path, help="folder with ml-latest-small and a9a")
    options.add_argument("--sets", nargs="+", default=["ml-latest-small", "a9a", "sample"])
    args = options.parse_args()
    spark = spark_session()
    try:
        tables = [(split.name, compare(spark, split)) for split in real_sets(args.data, args.sets)]
    finally:
        spark.stop()
    publish("quality", tables, args.output)


if __name__ == "__main__":
    main()
