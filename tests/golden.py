"""Saves a small model of each kind, for the versions to come: ``python -m tests.golden tests/data/format-N``.

To be run once, by the first version of a new format. The tests of later versions load the folders and expect the
predictions that were written beside the models.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_fm import FMClassifier, FMRegressor
from spark_fm.core.fm.fields import Field, FieldLayout

ROWS_TO_PREDICT = [[0, 10], [3, 14], [1, 12], [7, 13], [4, 11], [99]]


def fitted(spark: SparkSession) -> list[Any]:
    """A regression and a classification model of 10 users and 5 items."""
    draw = np.random.default_rng(0)
    users, items = draw.integers(0, 10, 200), 10 + draw.integers(0, 5, 200)
    taste = draw.normal(size=(15, 2))
    scores = (taste[users] * taste[items]).sum(axis=1)
    rows = [
        ([user, item], score, float(score > 0.0))
        for user, item, score in zip(users.tolist(), items.tolist(), scores.tolist(), strict=True)
    ]
    data = spark.createDataFrame(rows, "features array<int>, label double, liked double").coalesce(1)
    layout = FieldLayout(
        (Field("user", 0, 10), Field("item", 10, 5)), {0: "ann", 3: "bob", 10: "Noir", 14: "éß=x"}
    )
    attrs = [{"idx": i, "name": layout.label(i)} for i in layout.names]
    metadata = {
        "spark_fm": {"fields": layout.to_json(), "num_features": 15},
        "ml_attr": {"num_attrs": 15, "attrs": {"binary": attrs}},
    }
    data = data.withColumn("features", F.col("features").alias("features", metadata=metadata))
    params: dict[str, Any] = {"factorSize": 2, "maxIter": 8, "initStd": 0.1, "regParam": 0.001}
    return [
        FMRegressor(**params).fit(data),
        FMClassifier(**params, labelCol="liked", thresholds=[0.6, 0.4]).fit(data),
    ]


def main() -> None:
    folder = Path(sys.argv[1]).absolute()
    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    for model in fitted(spark):
        path = folder / type(model).__name__
        model.save(str(path))
        expected = {
            "rows": ROWS_TO_PREDICT,
            "predictions": [model.predict(row) for row in ROWS_TO_PREDICT],
            "scores": [model.explain(row).score for row in ROWS_TO_PREDICT],
            "bestEpoch": model.summary.bestEpoch,
            "explanations": [repr(model.explain(row)) for row in ROWS_TO_PREDICT],
            "strengths": model.topInteractions(3).strength.tolist(),
        }
        (path / "expected.json").write_text(json.dumps(expected) + "\n")
        for checksums in path.rglob(".*.crc"):
            checksums.unlink()
    spark.stop()


if __name__ == "__main__":
    main()
