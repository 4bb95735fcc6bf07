"""Solver gibbs beside AdaGrad, myfm and pyspark.ml's ALS on ratings: quality, sweeps, partitions, and a sweep's cost.

python -m benchmarks.sampler --data FOLDER --sets ml-latest-small context-0.4M --factors 8 16

All fits are untuned, but for ALS, of which the setting that is best on the test rows counts, and myfm, which has the
fields and as many iterations. "sweeps" are those of the mean so far on the test rows. A sweep's least seconds are those
of its multiply-adds alone, rows x fields x (K + 1) (K + 2) / 2, at the rate at which this machine adds rows that lie in
its cache to one feature's sums; one thread.
"""

from argparse import Namespace
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common import parser, publish, show, spark_session, timed
from benchmarks.contenders import deciding_metric, metrics
from benchmarks.peers import arrays, groups_of, installed
from benchmarks.sets import DataSet, add_options, chosen_sets
from benchmarks.sparkmodels import Frames, test_metrics
from spark_fm.core.compiled.compile import compiled
from spark_fm.core.solver.gibbs.chain import Chain
from spark_fm.core.solver.gibbs.conditional import ROWS_AT_ONCE, add_rows
from spark_fm.core.solver.gibbs.fields import DrawOrder
from spark_fm.core.solver.gibbs.state import ChainState
from spark_fm.core.sparse.block import NO_FEATURES, NO_FLAGS, NO_FLOATS, Block

Table = list[dict[str, object]]
ALS_RANKS, ALS_REGULARISATIONS = (4, 8, 16), (0.05, 0.1, 0.2)
TOLD_SWEEPS = (10, 20, 30, 50, 75, 100)
NEAR_THE_END = 1.005
ROWS_IN_CACHE, RATE_REPEATS, SWEEPS_TIMED = 64, 20_000, 10


class Ratings:
    """One set, whose frames are cached, and the tables that are filled for it."""

    def __init__(self, spark: Any, data: DataSet) -> None:
        self.spark, self.data, self.frames = spark, data, Frames(spark, data)
        self.train, self.test = self.frames.part("train", "ids"), self.frames.part("test", "ids")

    def fitted(self, name: str, warm: bool = True, **params: Any) -> dict[str, object]:
        """Fit seconds (the second time where it was not warm) and the test RMSE."""
        from spark_fm import FMRegressor

        estimator = FMRegressor(**params)
        if warm:
            estimator.copy({estimator.maxIter: 2}).fit(self.train)
        model, seconds = timed(lambda: estimator.fit(self.train))
        row = {
            "model": name,
            "factors": params["factorSize"],
            "fit seconds": seconds,
            **test_metrics(self.data, model.transform(self.test)),
        }
        show(f"{self.data.name}: {row}")
        return row

    def quality(self, factors: list[int]) -> Table:
        """AdaGrad, gibbs with the default two chains and with one, for each number of factors."""
        rows = []
        for size in factors:
            rows.append(self.fitted("AdaGrad", factorSize=size))
            rows.append(self.fitted("gibbs", factorSize=size, solver="gibbs"))
            rows.append(self.fitted("gibbs, one chain", factorSize=size, solver="gibbs", numChains=1))
        if installed("myfm", "myfm"):
            rows += [self.myfm(size) for size in factors]
        if self.data.name == "ml-latest-small":
            rows.append(self.als())
        return rows

    def myfm(self, size: int, iterations: int = 100) -> dict[str, object]:
        """The peer myfm with the fields."""
        from myfm import MyFMRegressor

        held, model = arrays(self.data), MyFMRegressor(rank=size)
        fit = {"n_iter": iterations, "group_shapes": groups_of(self.data)}
        _, seconds = timed(lambda: model.fit(held.train, held.train_label, **fit))
        found = metrics(self.data, held.test_label, model.predict(held.test))
        row = {"model": f"myfm, {iterations} iterations", "factors": size, "fit seconds": seconds, **found}
        show(f"{self.data.name}: {row}")
        return row

    def als(self) -> dict[str, object]:
        """The best of a grid on the test rows; items that it has not met get the mean."""
        from pyspark.ml.recommendation import ALS
        from pyspark.sql import functions as F

        def columns(frame: Any) -> Any:
            user, item = (F.col("features")[i].cast("int").alias(n) for i, n in enumerate(("user", "item")))
            return frame.select(user, item, "label").persist()

        train, test = columns(self.train), columns(self.test)
        mean = train.agg(F.avg("label")).first()[0]
        found = []
        for rank in ALS_RANKS:
            for reg in ALS_REGULARISATIONS:
                als = ALS(userCol="user", itemCol="item", ratingCol="label", rank=rank, regParam=reg, seed=1)
                model, seconds = timed(lambda als=als: als.fit(train))
                scored = model.transform(test).fillna({"prediction": mean})
                found.append((test_metrics(self.data, scored), rank, reg, seconds))
        best, rank, reg, seconds = min(found, key=lambda one: one[0][deciding_metric(self.data)])
        row = {"model": f"pyspark.ml ALS, regParam {reg:g}", "factors": rank, "fit seconds": seconds, **best}
        show(f"{self.data.name}: {row}")
        return row

    def sweeps(self, size: int) -> Table:
        """RMSE of the mean by sweep; when it passes AdaGrad, and when it is within half a per cent of the end."""
        from spark_fm import FMRegressor

        marked = self.frames.marked("ids")
        adagrad = FMRegressor(factorSize=size, validationIndicatorCol="is_test").fit(marked)
        goal = min(adagrad.summary.validationLoss) ** 0.5
        estimator = FMRegressor(solver="gibbs", factorSize=size, validationIndicatorCol="is_test")
        model, seconds = timed(lambda: estimator.fit(marked))
        curve = np.sqrt(model.summary.validationLoss)
        near = np.flatnonzero(curve <= NEAR_THE_END * curve[-1])
        passed = np.flatnonzero(curve <= goal)
        row: dict[str, object] = {"factors": size, "AdaGrad's best": goal}
        row |= {f"after {n}": float(curve[n - 1]) for n in TOLD_SWEEPS if n <= curve.size}
        row |= {
            "passes AdaGrad at": int(passed[0]) + 1 if passed.size else "never",
            "within 0.5 % of the end at": int(near[0]) + 1,
            "seconds a sweep": seconds / curve.size,
        }
        show(f"{self.data.name}: {row}")
        return [row]

    def partitions(self, size: int, numbers: list[int], sweeps: int) -> Table:
        """One chain in so many partitions."""
        rows = []
        for number in numbers:
            made = self.fitted(
                "gibbs", warm=False, factorSize=size, solver="gibbs", numChains=1, numPartitions=number,
                maxIter=sweeps,
            )  # fmt: skip
            rows.append({"partitions": number, **made})
        return rows

    def cost(self, factors: list[int]) -> Table:
        """Seconds of a sweep in memory, on one thread."""
        rows = self.data.read("train")
        ids, positions = np.unique(rows.ids, return_inverse=True)
        length = rows.ids.size // rows.size
        numbers = np.empty(ids.size, np.int64)
        numbers[positions] = np.tile(np.arange(length), rows.size)
        label = (rows.label - rows.label.mean()) / rows.label.std()
        block = Block(
            rows.indptr.astype(np.int32), positions.astype(np.int32), NO_FLOATS, label, NO_FLOATS,
            NO_FLAGS, NO_FEATURES,
        )  # fmt: skip
        made = []
        for size in factors:
            theta = np.random.default_rng(0).normal(0.0, 0.1, (ids.size, size + 1))
            chain = Chain(block, ChainState(ids, DrawOrder.of(numbers, ids), 0, theta, 0.0))
            spent = []
            for sweep in range(1, SWEEPS_TIMED + 1):
                begun = perf_counter()
                chain.sweep(sweep)
                spent.append(perf_counter() - begun)
            least = rows.size * length * (size + 1) * (size + 2) / 2 / products_a_second(size + 1)
            row: dict[str, object] = {
                "factors": size,
                "seconds a sweep": float(np.median(spent[2:])),
                "least seconds": least,
                "ratio": float(np.median(spent[2:])) / least,
            }
            if installed("myfm", "myfm"):
                row["myfm's seconds an iteration"] = self._myfm_iteration(size)
            show(f"{self.data.name}: {row}")
            made.append(row)
        return made

    def _myfm_iteration(self, size: int) -> float:
        few, many = (float(str(self.myfm(size, n)["fit seconds"])) for n in (2, 2 + SWEEPS_TIMED))
        return (many - few) / SWEEPS_TIMED


def products_a_second(d: int) -> float:
    """How many multiply-adds a second rows in the cache are added with to a feature's sums, d x d."""
    panels = np.random.default_rng(0).normal(size=(ROWS_IN_CACHE // ROWS_AT_ONCE, ROWS_AT_ONCE, d))
    sums = np.zeros(ROWS_AT_ONCE), np.zeros((d, d)), np.zeros(d)
    add_all(panels, *sums, 1)
    begun = perf_counter()
    add_all(panels, *sums, RATE_REPEATS)
    return RATE_REPEATS * ROWS_IN_CACHE * d * (d + 1) / 2 / (perf_counter() - begun)


@compiled
def add_all(
    panels: npt.NDArray[np.float64],
    targets: npt.NDArray[np.float64],
    precision: npt.NDArray[np.float64],
    moment: npt.NDArray[np.float64],
    times: int,
) -> None:
    """Add all panels so many times."""
    for _ in range(times):
        for i in range(panels.shape[0]):
            add_rows(panels[i], targets, precision, moment)


def measure(spark: Any, data: DataSet, args: Namespace) -> list[tuple[str, Table]]:
    """The tables of one set."""
    ratings, name = Ratings(spark, data), data.name
    made: list[tuple[str, Table]] = []
    if "quality" in args.tables:
        made.append((f"{name}: quality", ratings.quality(args.factors)))
    if "sweeps" in args.tables:
        made.append((f"{name}: the mean by sweeps", ratings.sweeps(args.factors[0])))
    if "cost" in args.tables:
        made.append((f"{name}: a sweep", ratings.cost(args.factors)))
    if "partitions" in args.tables:
        found = ratings.partitions(args.factors[0], args.partitions, args.sweeps)
        made.append((f"{name}: {args.sweeps} draws of one chain in partitions", found))
    ratings.frames.release()
    return made


def main() -> None:
    """Measure all sets; each has a file of its own."""
    options = parser("solver gibbs on ratings")
    add_options(options, ["ml-latest-small", "context-0.4M"])
    options.add_argument("--factors", type=int, nargs="+", default=[8, 16])
    options.add_argument("--partitions", type=int, nargs="+", default=[1, 4, 16, 64])
    options.add_argument("--sweeps", type=int, default=20, help="of the table of partitions")
    tables = ["quality", "sweeps", "cost", "partitions"]
    options.add_argument("--tables", nargs="+", choices=tables, default=tables)
    args = options.parse_args()
    spark = spark_session(memory=args.memory)
    for data in chosen_sets(args):
        publish(f"sampler-{data.name}", measure(spark, data, args), args.output)
    spark.stop()


if __name__ == "__main__":
    main()
