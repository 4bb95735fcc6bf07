"""What an epoch costs as rows, features, factors and partitions grow, and where its time goes.

python -m benchmarks.scale --rows 0.4M 2M 10M

The first value of each option is the base; the others vary one at a time. An epoch's seconds are wall-clock: the
median of the epochs between the first and the last, Spark included, split into the phases of summary.epochSeconds.
Beside it the kernel alone passes over the same rows in as many processes as cores, each with its share, at once, and in
the same random order; its seconds too are a median, of passes before and after the fit: a machine's speed drifts.

--model-size fits and scores one model of 2^24 hashed features instead, and reports the memory of all processes.

--dealing 1000 deals the rows of the first set to so many partitions instead, and trains epochs over them, however few
cores there are: what a large cluster would do, in tasks of few rows, so what each task and each row that is shuffled
costs is most of it. Seconds of CPU of all processes are counted there.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import parser, publish, shortened, show, spark_session, timed
from benchmarks.jobs import Work
from benchmarks.kernel import one_pass
from benchmarks.memory import PeakMemory
from benchmarks.sets import DataSet, open_set
from spark_fm.core.fm.losses import LOGISTIC
from spark_fm.core.fm.settings import Settings
from spark_fm.core.fm.table import initial_parameters
from spark_fm.core.solver.adagrad.visit import shuffled
from spark_fm.core.sparse.dictionary import Dictionary

EPOCHS = 8
EPOCHS_OF_LARGE_MODELS = 3
KERNEL_PASSES = 4
DEFAULT_BITS = 20
MODEL_SIZE_SETS = ["ctr-2M-24", "ctr-2M-24-1.1"]


def kernel_seconds(data: DataSet, factor_size: int) -> list[float]:
    """Seconds of passes of the kernel alone on all cores, each of the slowest process."""
    spawn, shares = multiprocessing.get_context("spawn"), min(os.cpu_count() or 1, len(data.files("train")))
    with spawn.Manager() as manager, ProcessPoolExecutor(shares, spawn) as pool:
        barrier = manager.Barrier(shares)
        running = [pool.submit(_share, data, factor_size, share, shares, barrier) for share in range(shares)]
        return [max(together) for together in zip(*(one.result() for one in running), strict=True)]


def _share(data: DataSet, factor_size: int, share: int, shares: int, barrier: Any) -> list[float]:
    rows, dictionary = data.read("train", share, shares), Dictionary()
    positions = dictionary.encode(rows.ids)
    # Popular features lie together, as spark_fm lays them.
    rank = np.empty(len(dictionary), np.int32)
    rank[np.argsort(-np.bincount(positions), kind="stable")] = np.arange(len(dictionary))
    indices, indptr = rank[positions], rows.indptr.astype(np.int32)
    order = shuffled(np.arange(rows.size, dtype=np.int32), np.random.default_rng(share))
    start = initial_parameters(np.arange(len(dictionary)), factor_size, 0.0, 0.01, 0)
    one_pass(start, indptr, indices, rows.label, order[:1])
    seconds = []
    for _ in range(KERNEL_PASSES):
        barrier.wait()
        seconds.append(one_pass(start, indptr, indices, rows.label, order))
    return seconds


def epoch_seconds(summary: Any) -> dict[str, float]:
    """Seconds by phase of the epoch whose total is the median; the whole is all there is when epochs share a job.

    The first epoch warms up, and the last one's record has a round that only measures.
    """
    epochs = sorted(summary.epochSeconds[1:-1], key=lambda phases: sum(phases.values()))
    if not epochs:
        return {"one task": summary.seconds["train"] / summary.totalIterations}
    middle: dict[str, float] = epochs[len(epochs) // 2]
    return middle


def fit(frame: Any, factor_size: int, partitions: int, epochs: int) -> Any:
    """A model after so many epochs over all rows."""
    from spark_fm import FMClassifier

    estimator = FMClassifier(
        factorSize=factor_size, numPartitions=partitions, maxIter=epochs, validationFraction=0.0, tol=0.0
    )
    return estimator.fit(frame)


def measure(spark: Any, data: DataSet, factor_size: int, partitions: int) -> dict[str, object]:
    """A row of the table."""
    passes = kernel_seconds(data, factor_size)
    with PeakMemory() as memory:
        model = fit(data.frame(spark, "train", "ids"), factor_size, partitions, EPOCHS)
    alone = float(np.median(passes + kernel_seconds(data, factor_size)))
    phases = epoch_seconds(model.summary)
    total = sum(phases.values())
    return {
        "rows": data.rows,
        "hashed into": data.size,
        "features that occur": model.weights.features.size,
        "factors": factor_size,
        "partitions": model.summary.partitions,
        "rounds an epoch": model.summary.roundsPerEpoch,
        "epoch s": total,
        "kernel alone s": alone,
        "ratio": total / alone,
        "pack s": model.summary.seconds["pack"],
        **{f"{phase} s": seconds for phase, seconds in phases.items()},
        **memory.columns(),
    }


def model_size(spark: Any, data: DataSet) -> dict[str, object]:
    """Fit with 16 factors on 64 partitions and score the training rows: time, and memory of all processes."""
    frame = data.frame(spark, "train", "ids")
    with PeakMemory() as memory:
        model, seconds = timed(lambda: fit(frame, 16, 64, EPOCHS_OF_LARGE_MODELS))
    trained = memory.total
    with PeakMemory() as memory:
        scored = model.transform(frame)
        _, scoring = timed(lambda: scored.write.format("noop").mode("overwrite").save())
    phases = epoch_seconds(model.summary)
    return {
        "rows": data.rows,
        "hashed into": data.size,
        "features that occur": model.weights.features.size,
        "epochs": model.summary.totalIterations,
        "fit s": seconds,
        "epoch s": sum(phases.values()),
        "all processes while training MB": round(trained),
        "transform s": scoring,
        "all processes while scoring MB": round(memory.total),
        **{f"{phase} s": spent for phase, spent in phases.items()},
    }


def dealing(spark: Any, data: DataSet, sources: int, partitions: int, rounds: int) -> dict[str, object]:
    """Dealing the rows of so many sources to so many chunks, and an epoch over them.

    Dealing is what dealing and reading every chunk costs beyond reading them once more; an epoch is what a fit of two
    costs beyond a fit of one.
    """
    from spark_fm.engine.packing.input_columns import InputColumns
    from spark_fm.engine.packing.packed_data import PackedData
    from spark_fm.engine.training.fit import fit_packed
    from spark_fm.engine.training.solver import Parallelism
    from spark_fm.engine.training.store import dealt_chunks

    settings = Settings(LOGISTIC, factor_size=16, tol=0.0)
    frame = data.frame(spark, "train", "ids").repartition(sources)
    epochs: list[dict[str, float]] = []
    with PackedData.of(frame, InputColumns("features", "label", binary=True), shared=True) as packed:
        packed.vocabulary(settings)
        with (
            PeakMemory() as memory,
            dealt_chunks(packed, partitions, rounds, 0, settings) as chunks,
        ):
            with Work(spark) as work:
                chunks.run(read_all, None, chunks.places.all())
            with Work(spark) as reading:
                chunks.run(read_all, None, chunks.places.all())
        fits = []
        for number in (1, 2):
            with Work(spark) as training:
                fit_packed(
                    packed, replace(settings, max_epochs=number), Parallelism(partitions, rounds, 0.0), None,
                    lambda epoch: epochs.append(epoch.seconds),
                )  # fmt: skip
            fits.append(training)
    dealt, epoch = work.cpu - reading.cpu, fits[1].cpu - fits[0].cpu
    return {
        "rows": data.rows,
        "sources": sources,
        "partitions": partitions,
        "rounds an epoch": rounds,
        **work.columns("dealing and reading"),
        "reading CPU s": reading.cpu,
        "fit of 1 epoch CPU s": fits[0].cpu,
        "fit of 2 epochs CPU s": fits[1].cpu,
        "dealing CPU s": dealt,
        "epoch CPU s": epoch,
        "dealing / epoch": dealt / epoch,
        **{f"{phase} s": seconds for phase, seconds in epochs[0].items()},
        **memory.columns(),
    }


def read_all(batches: Any, orders: None) -> Any:
    """Read some chunks and say nothing of them."""
    for _ in batches:
        pass
    yield from ()


def cases(args: Any) -> list[tuple[str, int, int]]:
    """The base, and what differs from it in one value: (name of the set, factors, partitions)."""
    lists = (args.rows, args.features, args.factors, args.partitions)
    base = tuple(values[0] for values in lists)
    found = [case for case in product(*lists) if sum(a != b for a, b in zip(case, base, strict=True)) <= 1]
    return [
        (f"ctr-{rows}" if bits == DEFAULT_BITS else f"ctr-{rows}-{bits}", factors, partitions)
        for rows, bits, factors, partitions in found
    ]


def main() -> None:
    """Measure and publish."""
    options = parser(str(__doc__).splitlines()[0])
    options.add_argument("--rows", nargs="+", default=["0.4M", "2M"])
    options.add_argument(
        "--features", type=int, nargs="+", default=[20, 16, 18, 22, 24], help="bits of the hash"
    )
    options.add_argument("--factors", type=int, nargs="+", default=[16, 4, 8, 32, 64])
    options.add_argument(
        "--partitions", type=int, nargs="+", default=[0, 1, 2, 4, 16, 64], help="0: by the work"
    )
    options.add_argument(
        "--model-size",
        nargs="*",
        metavar="SET",
        help=f"measure the memory of models of 2^24 hashed features; default sets: {' '.join(MODEL_SIZE_SETS)}",
    )
    options.add_argument("--dealing", type=int, nargs="*", metavar="PARTITIONS", help="default: 1000")
    options.add_argument("--rounds", type=int, default=8, help="of --dealing")
    options.add_argument("--sources", type=int, nargs="+", default=[32], help="of --dealing")
    options.add_argument(
        "--cache", type=Path, default=Path("benchmarks/data-cache"), help="folder for Parquet"
    )
    args = options.parse_args()
    rows: list[dict[str, object]] = []
    spark = spark_session(memory=args.memory)

    def add(name: str, **given: int) -> None:
        data = open_set(name, None, args.cache)
        try:
            row = measure(spark, data, **given) if given else model_size(spark, data)
        except Exception as error:
            row = {
                "rows": data.rows,
                "hashed into": data.size,
                **given,
                "note": f"failed: {shortened(error)}",
            }
        rows.append(row)
        show(f"{name}: {row}")

    try:
        if args.dealing is not None:
            data = open_set(cases(args)[0][0], None, args.cache)
            dealing(spark, data, 4, 8, 2)  # warms the session up
            for sources, partitions in product(args.sources, args.dealing or [1000]):
                rows.append(dealing(spark, data, sources, partitions, args.rounds))
                show(str(rows[-1]))
        elif args.model_size is None:
            base = open_set(cases(args)[0][0], None, args.cache)
            fit(base.frame(spark, "train", "ids"), args.factors[0], 0, EPOCHS)  # warms the session up
            for name, factors, partitions in cases(args):
                add(name, factor_size=factors, partitions=partitions)
        else:
            for name in args.model_size or MODEL_SIZE_SETS:
                add(name)
    finally:
        spark.stop()
    if args.dealing is not None:
        publish("dealing", [("Dealing rows to many partitions", rows)], args.output)
    elif args.model_size is None:
        publish("scale", [("An epoch: seconds and memory", rows)], args.output)
    else:
        publish("model-size", [("2^24 hashed features, 16 factors, 64 partitions", rows)], args.output)


if __name__ == "__main__":
    main()
