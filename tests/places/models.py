"""Models for other versions: `save FOLDER` fits and saves some with what they predict, `load FOLDER` loads all that
were saved in its folders, and expects these predictions.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from spark_fm import FMClassificationModel, FMClassifier, FMRegressionModel, FMRegressor

logger = logging.getLogger("models")
ROWS = [([i % 7, 7 + i % 5], float(i % 7 + i % 5), float(i % 3 == 0)) for i in range(300)]
TOLERANCE = 1e-6
CLASSES: dict[str, Any] = {
    "regression": FMRegressionModel,
    "classification": FMClassificationModel,
    "sampled": FMRegressionModel,
}


def frame(spark: SparkSession) -> Any:
    """Some rows, in one partition and so in one order."""
    rows = [(features, label) for features, label, _ in ROWS]
    return spark.createDataFrame(rows, "features array<int>, label double").coalesce(1)


def predicted(model: Any, rows: Any) -> list[list[float]]:
    """What a model adds to each row, as numbers."""
    columns = ["prediction"]
    if model.hasParam("predictionStdCol") and model.getPredictionStdCol():
        columns.append(model.getPredictionStdCol())
    return [list(row) for row in model.transform(rows).select(*columns).collect()]


def save(spark: SparkSession, folder: Path) -> None:
    """A model of each kind."""
    rows = frame(spark)
    binary = spark.createDataFrame(
        [(f, y) for f, _, y in ROWS], "features array<int>, label double"
    ).coalesce(1)
    sampler = FMRegressor(
        factorSize=2, maxIter=5, solver="gibbs", predictionStdCol="deviation", numPartitions=1
    )
    models = {
        "regression": FMRegressor(factorSize=2, maxIter=5).fit(rows),
        "classification": FMClassifier(factorSize=2, maxIter=5).fit(binary),
        "sampled": sampler.fit(rows),
    }
    for name, model in models.items():
        model.write().overwrite().save(str(folder / name))
        (folder / f"{name}.json").write_text(json.dumps(predicted(model, rows)))


def load(spark: SparkSession, folder: Path) -> None:
    """All models of all folders."""
    rows, places = frame(spark), sorted(one for one in folder.iterdir() if one.is_dir())
    if not places:
        raise RuntimeError(f"{folder} has no models")
    for place in places:
        for name, kind in CLASSES.items():
            found = predicted(kind.load(str(place / name)), rows)
            expected = json.loads((place / f"{name}.json").read_text())
            worst = max(
                abs(a - b)
                for one, two in zip(found, expected, strict=True)
                for a, b in zip(one, two, strict=True)
            )
            if not worst <= TOLERANCE:
                raise RuntimeError(f"{place.name}, {name}: predictions differ by {worst}")
        logger.info("the models of %s load", place.name)


def main() -> None:
    """See the module."""
    logging.basicConfig(format="models: %(message)s", stream=sys.stdout, level=logging.INFO)
    logging.getLogger("py4j").setLevel(logging.ERROR)
    spark = SparkSession.builder.getOrCreate()
    try:
        {"save": save, "load": load}[sys.argv[1]](spark, Path(sys.argv[2]))
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
