"""Fingerprints of a set of small fits: the same before and after a change that moves code and changes no model.

python -m benchmarks.fingerprints > before.txt

They are those of one machine: another processor may round the last bit otherwise.
"""

import sys
import warnings
import zlib
from typing import Any

import numpy as np

from benchmarks.common import spark_session

WAYS: list[dict[str, Any]] = [{"numPartitions": 1}, {"numPartitions": 3, "roundsPerEpoch": 2}]
FITS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weights": {"weightCol": "weight"},
    "validation": {"validationIndicatorCol": "held"},
    "prior": {"regParamPrior": 0.5},
    "nothing held out": {"validationFraction": 0.0},
    "linear": {"factorSize": 0},
    "no intercept": {"fitIntercept": False},
    "part of the rows": {"miniBatchFraction": 0.5},
    "unit length": {"normalize": True},
    "dense": {"featuresCol": "dense"},
}


def frame(spark: Any) -> Any:
    """1,500 rows in three partitions: ids, dense vectors, weights, marks, and both kinds of label."""
    random = np.random.default_rng(7)
    user, item = random.integers(0, 40, 1500), 40 + random.integers(0, 25, 1500)
    taste = random.normal(size=(65, 2))
    score = (taste[user] * taste[item]).sum(1) + random.normal(0.0, 0.3, 1500)
    rows = [
        (
            [int(u), int(i)],
            [float(u), float(i), 1900.0 + float(y)],
            float(y),
            float(y > 0.0),
            float(c),
            bool(h),
        )
        for u, i, y, c, h in zip(
            user, item, score, random.integers(1, 5, 1500), random.random(1500) < 0.2, strict=True
        )
    ]
    ddl = "features array<int>, dense array<double>, label double, class double, weight double, held boolean"
    return (
        spark.createDataFrame(rows, ddl).repartition(3, "features").sortWithinPartitions("features", "label")
    )


def fingerprint(model: Any) -> str:
    """CRC-32 of a model's parameters."""
    weights, found = model.weights, 0
    for array in (weights.features, weights.linear, weights.factors, np.float64(weights.intercept)):
        found = zlib.crc32(array.tobytes(), found)
    return f"{found:08x}"


def main() -> None:
    """Write a line for each fit."""
    from spark_fm import FMClassifier, FMRegressor

    warnings.simplefilter("ignore")
    spark = spark_session(memory="2g")
    try:
        rows = frame(spark).persist()
        for way in WAYS:
            for label, estimator in (("label", FMRegressor), ("class", FMClassifier)):
                base = {"factorSize": 4, "maxIter": 6, "seed": 3, "labelCol": label} | way
                for name, params in FITS.items():
                    model = estimator(**(base | params)).fit(rows)
                    sys.stdout.write(f"{estimator.__name__}, {way}, {name}: {fingerprint(model)}\n")
                warm = estimator(**base, initialModel=estimator(**base).fit(rows)).fit(rows)
                sys.stdout.write(f"{estimator.__name__}, {way}, warm start: {fingerprint(warm)}\n")
                sys.stdout.flush()
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
