"""The P-curve: test metric by epoch for several numbers of partitions and merge rules.

python -m benchmarks.partitions --data FOLDER

Through Spark for this merge (numPartitions is set, the test rows are the validation rows, so that
summary.validationLoss is the curve); the plain mean and the count-weighted mean run the same kernel over the
same units in this process.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common import parser, publish, show, spark_session
from benchmarks.data import Rows, Split, real_sets
from spark_fm.core.block import NO_FEATURES, NO_FLAGS, NO_FLOATS, Block
from spark_fm.core.local import measure, scaled, train_pass
from spark_fm.core.loss import Loss
from spark_fm.core.settings import Scale, Settings
from spark_fm.core.training import Plan
from spark_fm.core.weights import Start


def block_of(rows: Rows) -> Block:
    """All rows as one block."""
    indptr = np.concatenate([[0], np.cumsum([i.size for i in rows.ids])]).astype(np.int32)
    indices = np.concatenate(rows.ids).astype(np.int32)
    return Block(indptr, indices, NO_FLOATS, rows.label, NO_FLOATS, NO_FLAGS, NO_FEATURES)


def settings_of(split: Split) -> Settings:
    """The estimator's defaults."""
    return Settings(Loss.LOGISTIC if split.binary else Loss.SQUARED)


def metric(split: Split, loss: float) -> float:
    """Log-loss, or RMSE from a mean squared error."""
    return loss if split.binary else loss**0.5


def mean_curve(split: Split, partitions: int, epochs: int, counted: bool) -> list[float]:
    """The curve of a plain mean of the partitions' parameters, or of one weighted per coordinate by how often
    a partition met it.
    """
    settings = settings_of(split)
    whole = block_of(split.train)
    scale = Scale.of(settings, 1.0, float(whole.label.mean()), float(whole.label.var()))
    train, test = scaled(whole, scale, None), scaled(block_of(split.test), scale, None)
    state = Start(settings, scale).at(np.arange(split.size), None)
    table, intercept = state.table, state.intercept
    order = np.random.default_rng(0).permutation(train.rows).astype(np.int32)
    units = np.array_split(order, partitions)
    everything = np.arange(test.rows, dtype=np.int32)
    by = 1.0 if split.binary else 2.0 * scale.label_deviation**2
    curve = []
    for epoch in range(epochs):
        tables, intercepts, counts = [], [], []
        for number, unit in enumerate(units):
            mine, w0 = table.copy(), intercept.copy()
            plan = Plan(epoch, 0, True, settings.step_size, 1.0, 1.0)
            train_pass(mine, w0, train, unit, plan, settings, np.random.default_rng([epoch, number]))
            tables.append(mine)
            intercepts.append(w0)
            counts.append(_met(train, unit, split.size) if counted else np.ones(split.size))
        weights = np.array(counts)
        total = weights.sum(axis=0)
        shares = np.divide(weights, total, out=np.full_like(weights, 1 / partitions), where=total > 0)
        table = np.einsum("pi,pij->ij", shares, np.array(tables)).astype(np.float32)
        intercept = np.mean(intercepts, axis=0)
        loss = measure(table, float(intercept[0]), test, everything, settings.loss).mean
        curve.append(metric(split, loss * by))
    return curve


def _met(block: Block, rows: npt.NDArray[np.int32], features: int) -> npt.NDArray[np.float64]:
    return np.bincount(block.take(rows.astype(np.intp)).indices, minlength=features).astype(np.float64)


def merge_curve(spark: Any, split: Split, partitions: int, epochs: int) -> list[float]:
    """The curve of spark_fm's merge, through Spark."""
    from pyspark.sql import functions as F

    from spark_fm import FMClassifier, FMRegressor

    train = split.train.frame(spark, split.size).withColumn("is_test", F.lit(False))
    test = split.test.frame(spark, split.size).withColumn("is_test", F.lit(True))
    estimator = FMClassifier if split.binary else FMRegressor
    model = estimator(
        factorSize=8, numPartitions=partitions, maxIter=epochs, patience=epochs,
        validationIndicatorCol="is_test",
    ).fit(train.union(test))  # fmt: skip
    return [metric(split, loss) for loss in model.summary.validationLoss]


def line(split: Split, rule: str, partitions: int, curve: list[float], best: float) -> dict[str, object]:
    """A row of the table; ``best`` is that of one partition."""
    lowest = min(curve)
    row: dict[str, object] = {
        "data": split.name,
        "rule": rule,
        "partitions": partitions,
        "best": f"{lowest:.4f}",
        "at epoch": curve.index(lowest) + 1,
        "from P=1": f"{100 * (lowest / best - 1):+.2f} %",
    }
    reached = [epoch for epoch, value in enumerate(curve, 1) if value <= 1.01 * best]
    row["within 1 % at epoch"] = reached[0] if reached else "never"
    show(str(row))
    return row


def main() -> None:
    """Measure and publish."""
    options = parser(str(__doc__).splitlines()[0])
    options.add_argument("--data", type=Path, help="folder with ml-latest-small and a9a")
    options.add_argument("--partitions", type=int, nargs="+", default=[1, 4, 16, 64])
    options.add_argument("--epochs", type=int, default=20)
    options.add_argument("--sets", nargs="+", default=["ml-latest-small", "a9a"])
    args = options.parse_args()
    rows: list[dict[str, object]] = []
    curves: dict[str, object] = {}
    spark = spark_session()
    try:
        for split in real_sets(args.data, args.sets):
            best = 0.0
            for partitions in args.partitions:
                curve = merge_curve(spark, split, partitions, args.epochs)
                best = best or min(curve)
                rows.append(line(split, "this merge", partitions, curve, best))
                curves[f"{split.name}, this merge, P={partitions}"] = curve
            for rule, counted in (("plain mean", False), ("count-weighted mean", True)):
                for partitions in [p for p in args.partitions if p > 1]:
                    curve = mean_curve(split, partitions, args.epochs, counted)
                    rows.append(line(split, rule, partitions, curve, best))
                    curves[f"{split.name}, {rule}, P={partitions}"] = curve
    finally:
        spark.stop()
    publish("partitions", [("best test metric (RMSE or log-loss)", rows)], args.output)


if __name__ == "__main__":
    main()
