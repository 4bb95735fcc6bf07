"""The P-curve: test metric by epoch for several numbers of partitions and merge rules.

python -m benchmarks.partitions --data FOLDER --sets ml-latest-small a9a ctr-0.4M

Through Spark for this merge (numPartitions is set, the test rows are the validation rows, so that
summary.validationLoss is the curve); the plain mean and the count-weighted mean run the same kernel over the
same numbers of units in this process, once per epoch.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common import parser, publish, shortened, show, spark_session
from benchmarks.contenders import deciding_metric
from benchmarks.data import Rows
from benchmarks.sets import DataSet, add_options, chosen_sets
from benchmarks.sparkmodels import Frames
from spark_fm.core.block import NO_FEATURES, NO_FLAGS, NO_FLOATS, Block
from spark_fm.core.local import measure, scaled, train_pass
from spark_fm.core.loss import Loss
from spark_fm.core.settings import Scale, Settings
from spark_fm.core.training import Plan
from spark_fm.core.weights import Start

RULES = {"plain mean": False, "count-weighted mean": True}


def block_of(rows: Rows, features: npt.NDArray[np.int64]) -> Block:
    """All rows as one block of positions in ``features`` (ascending); other features are left out."""
    positions = np.minimum(np.searchsorted(features, rows.ids), features.size - 1)
    known = features[positions] == rows.ids
    indptr = np.concatenate([[0], np.cumsum(known)])[rows.indptr].astype(np.int32)
    indices = positions[known].astype(np.int32)
    return Block(indptr, indices, NO_FLOATS, rows.label, NO_FLOATS, NO_FLAGS, NO_FEATURES)


def metric(data: DataSet, loss: float) -> float:
    """Log-loss, or RMSE from a mean squared error."""
    return loss if data.binary else loss**0.5


def mean_curve(data: DataSet, partitions: int, epochs: int, counted: bool) -> list[float]:
    """The curve of a plain mean of the partitions' parameters, or of one weighted per feature by how often
    a partition met it.

    A mean of parameters is the start plus the mean of their changes, so one table and one sum of changes are
    enough for any number of partitions.
    """
    settings = Settings(Loss.LOGISTIC if data.binary else Loss.SQUARED, factor_size=data.factor_size)
    rows = data.read("train")
    features, counts = np.unique(rows.ids, return_counts=True)
    scale = Scale.of(
        settings, 1.0, float(rows.label.mean()), float(rows.label.var()), data.nonzeros / data.rows
    )
    train = scaled(block_of(rows, features), scale, None)
    test = scaled(block_of(data.read("test"), features), scale, None)
    state = Start(settings, scale).at(features, None, counts.astype(np.float64))
    table, intercept = state.table, state.intercept
    order = np.random.default_rng(0).permutation(train.rows).astype(np.int32)
    units = [np.sort(unit) for unit in np.array_split(order, partitions)]
    everything = np.arange(test.rows, dtype=np.int32)
    by = 1.0 if data.binary else 2.0 * scale.label_deviation**2
    curve = []
    for epoch in range(epochs):
        mine, changes = table.copy(), np.zeros(table.shape)
        shift, total = np.zeros(2), counts[:, None] if counted else float(partitions)
        for number, unit in enumerate(units):
            w0 = intercept.copy()
            plan = Plan(epoch, 0, True, settings.step_size, 1.0, 1.0)
            train_pass(mine, w0, train, unit, plan, settings, np.random.default_rng([epoch, number]))
            met, times = np.unique(train.take(unit.astype(np.intp)).indices, return_counts=True)
            changes[met] += (mine[met] - table[met]) * (times[:, None] if counted else 1.0)
            shift += w0 - intercept
            mine[met] = table[met]
        table = (table + changes / total).astype(np.float32)
        intercept = intercept + shift / partitions
        loss = measure(table, float(intercept[0]), test, everything, settings.loss).mean
        curve.append(metric(data, loss * by))
    return curve


def merge_curve(frames: Frames, partitions: int, epochs: int) -> list[float]:
    """The curve of spark_fm's merge, through Spark."""
    from spark_fm import FMClassifier, FMRegressor

    data = frames.data
    estimator = FMClassifier if data.binary else FMRegressor
    model = estimator(
        factorSize=data.factor_size, numPartitions=partitions, maxIter=epochs, patience=epochs,
        validationIndicatorCol="is_test",
    ).fit(frames.marked("ids" if data.generated else "vector"))  # fmt: skip
    return [metric(data, loss) for loss in model.summary.validationLoss]


class Curves:
    """The table of all sets, and the curves behind it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []
        self.curves: list[dict[str, object]] = []

    def add(self, data: DataSet, rule: str, partitions: int, curve: list[float], single: list[float]) -> None:
        """A line of the table; ``single`` is the curve of this merge with the fewest partitions."""
        lowest, best = min(curve), min(single)
        reached = [epoch for epoch, value in enumerate(curve, 1) if value <= 1.01 * best]
        row: dict[str, object] = {
            "data": data.name,
            "rule": rule,
            "partitions": partitions,
            "rows a partition": data.rows // partitions,
            "metric": deciding_metric(data),
            "best": f"{lowest:.5f}",
            "at epoch": curve.index(lowest) + 1,
            "from the fewest partitions": f"{100 * (lowest / best - 1):+.2f} %",
            "within 1 % at epoch": reached[0] if reached else "never",
        }
        show(str(row))
        self.rows.append(row)
        rounded = " ".join(f"{value:.5g}" for value in curve)
        self.curves.append({"data": data.name, "rule": rule, "partitions": partitions, "by epoch": rounded})

    def fail(self, data: DataSet, rule: str, partitions: int, error: Exception) -> None:
        """A line that says what went wrong."""
        row = {
            "data": data.name,
            "rule": rule,
            "partitions": partitions,
            "note": f"failed: {shortened(error)}",
        }
        show(str(row))
        self.rows.append(row)


def compare(
    spark: Any, data: DataSet, partitions: list[int], epochs: int, rules: list[str], to: Curves
) -> None:
    """All curves of one data set."""
    frames, single = Frames(spark, data), list[float]()
    for number in partitions:
        try:
            curve = merge_curve(frames, number, epochs)
            single = single or curve
            to.add(data, "this merge", number, curve, single)
        except Exception as error:
            to.fail(data, "this merge", number, error)
    frames.release()
    for rule in rules:
        for number in partitions:
            if number > 1 and single:
                to.add(data, rule, number, mean_curve(data, number, epochs, RULES[rule]), single)


def main() -> None:
    """Measure and publish."""
    options = parser(str(__doc__).splitlines()[0])
    add_options(options, ["sample", "ml-latest-small", "a9a"])
    options.add_argument("--partitions", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    options.add_argument("--epochs", type=int, default=20)
    options.add_argument(
        "--rules", nargs="*", choices=list(RULES), default=list(RULES), help="besides this merge"
    )
    args = options.parse_args()
    curves, sets = Curves(), chosen_sets(args)
    spark = spark_session(memory=args.memory)
    try:
        for data in sets:
            compare(spark, data, args.partitions, args.epochs, args.rules, curves)
            tables = [
                ("Best test metric by partitions and merge rule", curves.rows),
                ("Curves", curves.curves),
            ]
            publish("partitions", tables, args.output)
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
