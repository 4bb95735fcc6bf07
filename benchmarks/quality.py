"""Quality, time and memory beside other Factorization Machines, all measured in one run.

python -m benchmarks.quality --data FOLDER --sets sample ml-latest-small a9a ctr-0.4M

Each set has a file of its own in benchmarks/results.

Fit seconds: Spark is started, the data are cached or Parquet, packing is included; on small sets the second of two
fits counts. "best" is the best test metric by epoch, told by a curve: spark_fm has the test rows as validation rows,
modern-fm stops early by them, myfm is watched. These two are fitted for their best number of epochs, spark_fm as it
comes.

Seconds to a quality are those of a fit limited to the first number of epochs that reaches it on the test rows.
"""

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks import peers, sparkmodels
from benchmarks.common import parser, publish, shortened, show, spark_session
from benchmarks.contenders import Contender, Fit, deciding_metric
from benchmarks.sets import DataSet, add_options, chosen_sets

FAMILIES = ["spark_fm", "pyspark-fm", "pyspark-linear", "modern-fm", "myfm"]
ROUNDING = 1e-5
MORE_EPOCHS = 3


class Comparison:
    """The tables of one data set, filled model by model; a model that fails becomes a row that says so."""

    def __init__(self, data: DataSet) -> None:
        self.data = data
        self.rows: list[dict[str, object]] = []
        self.fits: list[tuple[Contender, Fit]] = []
        self.metric = deciding_metric(data)

    def _row(self, model: str, measure: Callable[[], dict[str, object]]) -> dict[str, object]:
        # Whatever a peer does, out of memory in its process or in the JVM included, the others go on.
        try:
            row = {"model": model, **measure()}
        except Exception as error:
            row = {"model": model, "note": f"failed: {shortened(error)}"}
        show(f"{self.data.name}: {row}")
        return row

    def add(self, contender: Contender) -> None:
        """Measure a model as its user would fit it."""

        def measure() -> dict[str, object]:
            curve, fit = contender.curve(), contender.fit()
            self.fits.append((contender, fit))
            row: dict[str, object] = {"fit seconds": fit.seconds, **fit.metrics}
            if curve:
                row |= {f"best {self.metric}": min(curve), "at epoch": 1 + curve.index(min(curve))}
            return row | {**fit.memory, "rows scored a second": round(fit.rows_per_second)}

        self.rows.append(self._row(contender.name, measure))
        contender.close()

    def add_best(self, contenders: list[Contender]) -> None:
        """Of a grid's models that have curves, measure the one whose curve is best; one that fails is a row."""
        lowest: list[tuple[float, Contender]] = []
        for contender in contenders:
            row = self._row(contender.name, partial(self._tried, contender))
            if "note" in row:
                self.rows.append(row)
            else:
                lowest.append((min(contender.curve()), contender))
            contender.close()
        if lowest:
            self.add(min(lowest, key=lambda pair: pair[0])[1])

    def _tried(self, contender: Contender) -> dict[str, object]:
        return {f"best {self.metric}": min(contender.curve())}

    def finish(self) -> None:
        """Compare each fit's seconds with those of the first model's."""
        first = self.rows[0].get("fit seconds") if self.rows else None
        for row in self.rows:
            seconds = row.get("fit seconds")
            if isinstance(first, float) and isinstance(seconds, float):
                row["times the first row's seconds"] = seconds / first

    def best(self, family: str) -> tuple[Contender, Fit] | None:
        """The model of a family with the best test metric."""
        found = [pair for pair in self.fits if pair[0].family == family]
        return min(found, key=lambda pair: pair[1].quality) if found else None

    def times(self) -> list[dict[str, object]]:
        """The table of seconds to the best quality of pyspark.ml's FM and of modern-fm."""
        ours = [pair for pair in self.fits if pair[0].family == "spark_fm"]
        bests = [best for best in (self.best("pyspark FM"), self.best("modern-fm")) if best is not None]
        rows: list[dict[str, object]] = []
        for owner, goal in bests:
            quality = {"quality": f"{self.metric} {goal.quality:.5g}, the best of {owner.family}"}
            for contender, fit in [*bests, *ours]:
                reach = partial(self._reach, contender, fit, goal)
                rows.append(quality | self._row(contender.name, reach))
                contender.close()
        return rows

    def _reach(self, contender: Contender, fit: Fit, goal: Fit) -> dict[str, object]:
        """Cells of the fit with the fewest epochs that is as good as the goal."""
        enough = goal.quality * (1.0 + ROUNDING)
        never: dict[str, object] = {"seconds": "never", self.metric: fit.quality}
        curve = contender.curve()
        if fit is goal or not curve:
            return self._cells(fit, goal) if fit.quality <= enough else never
        first = next((epoch for epoch, value in enumerate(curve, 1) if value <= enough), None)
        if first is None:
            return never
        # A fit of its own may differ a little from the curve: then it gets more epochs.
        for epochs in range(first, first + MORE_EPOCHS + 1):
            made = contender.fit(epochs)
            if made.quality <= enough:
                return self._cells(made, goal) | {"epochs": epochs}
        return never

    def _cells(self, fit: Fit, goal: Fit) -> dict[str, object]:
        return {"seconds": fit.seconds, self.metric: fit.quality, "times faster": goal.seconds / fit.seconds}


def compare(
    spark: Any, data: DataSet, args: Namespace
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The two tables of one data set."""
    comparison, models = Comparison(data), args.models or FAMILIES
    frames = sparkmodels.Frames(spark, data)
    grid = args.grid or ("one" if data.large or data.wide else "small")
    if "spark_fm" in models:
        for contender in sparkmodels.spark_fm(frames):
            comparison.add(contender)
    if "modern-fm" in models and peers.installed("modern_fm", "modern-fm"):
        defaults, others = peers.modern_fm(data)
        for contender in defaults:
            comparison.add(contender)
        comparison.add_best(others)
    if "myfm" in models and peers.installed("myfm", "myfm"):
        if data.large and not args.models:
            show(f"{data.name}: myfm takes long: left out unless --models names it")
        else:
            comparison.add(peers.myfm(data))
    if "pyspark-linear" in models:
        for contender in sparkmodels.pyspark_linear(frames):
            comparison.add(contender)
    if "pyspark-fm" in models and grid != "none":
        defaults, others = sparkmodels.pyspark_fm(frames, grid)
        for contender in [*defaults, *others]:
            comparison.add(contender)
    comparison.finish()
    times = comparison.times()
    frames.release()
    return comparison.rows, times


def described(data: DataSet) -> dict[str, object]:
    """What the set is."""
    return {
        "name": data.name,
        "rows": data.rows,
        "non-zeros a row": data.nonzeros / data.rows,
        "features": data.size,
        "factors": data.factor_size,
        "metric": deciding_metric(data),
    }


def main() -> None:
    """Measure and publish."""
    options = parser(str(__doc__).splitlines()[0])
    add_options(options, ["sample", "ml-latest-small", "a9a"])
    options.add_argument("--models", nargs="+", choices=FAMILIES, help="default: all")
    options.add_argument(
        "--grid",
        choices=["small", "one", "none"],
        help="settings of pyspark.ml's FM; default: one on sets that are large or wide, else small",
    )
    args = options.parse_args()
    sets = chosen_sets(args)
    spark = spark_session(memory=args.memory)
    try:
        for data in sets:
            models, times = compare(spark, data, args)
            publish(
                f"quality-{data.name}",
                [("set", [described(data)]), ("models", models), ("time to quality", times)],
                args.output,
            )
    finally:
        spark.stop()


if __name__ == "__main__":
    main()
