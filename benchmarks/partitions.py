"""The P-curve: test metric by epoch for several numbers of partitions and merge rules.

python -m benchmarks.partitions --data FOLDER --sets ml-latest-small a9a ctr-0.4M

This merge runs through Spark (numPartitions is set, the test rows are the validation rows, so that
summary.validationLoss is the curve), or with --in-process in this process without it, which is faster for hundreds of
partitions; the plain mean and the count-weighted mean run in this process (benchmarks/simulation.py).
"""

from argparse import Namespace
from typing import Any

from benchmarks.common import parser, publish, shortened, show, spark_session
from benchmarks.contenders import deciding_metric
from benchmarks.sets import DataSet, add_options, chosen_sets
from benchmarks.simulation import Rule, curve
from benchmarks.sparkmodels import Frames

RULES: list[Rule] = ["plain mean", "count-weighted mean"]


def metric(data: DataSet, loss: float) -> float:
    """Log-loss, or RMSE from a mean squared error."""
    return loss if data.binary else loss**0.5


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
    """The table of a set, and the curves behind it."""

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


def compare(spark: Any, data: DataSet, args: Namespace, to: Curves) -> None:
    """All curves of one data set."""
    frames, single = Frames(spark, data), list[float]()
    for number in args.partitions:
        try:
            if args.in_process:
                found = curve(data, number, args.epochs, "this merge")
            else:
                found = merge_curve(frames, number, args.epochs)
            single = single or found
            to.add(data, "this merge", number, found, single)
        except Exception as error:
            to.fail(data, "this merge", number, error)
    frames.release()
    for rule in args.rules:
        for number in args.partitions:
            if number > 1 and single:
                to.add(data, rule, number, curve(data, number, args.epochs, rule), single)


def main() -> None:
    """Measure and publish."""
    options = parser(str(__doc__).splitlines()[0])
    add_options(options, ["sample", "ml-latest-small", "a9a"])
    options.add_argument("--partitions", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    options.add_argument("--epochs", type=int, default=20)
    options.add_argument("--rules", nargs="*", choices=RULES, default=RULES, help="besides this merge")
    options.add_argument("--in-process", action="store_true", help="this merge too runs without Spark")
    args = options.parse_args()
    sets = chosen_sets(args)
    spark = None if args.in_process else spark_session(memory=args.memory)
    try:
        for data in sets:
            curves = Curves()
            compare(spark, data, args, curves)
            publish(
                f"partitions-{data.name}", [("best", curves.rows), ("curves", curves.curves)], args.output
            )
    finally:
        if spark is not None:
            spark.stop()


if __name__ == "__main__":
    main()
