"""Fits on a standalone cluster while things are killed at random moments: each must end in the undisturbed model.

python kills.py FOLDER [--times 10] [--kinds ...] [--fits ...] [--seed 0] [--table FILE]

The kinds are a Python worker, one executor, all executors, a worker node in whose place a new one comes, and the
driver, whose program is then run again and goes on from its checkpoint; speculation and dynamic allocation, by which
Spark itself runs tasks twice and takes executors away; and tasks that fail twice before they read a row. A moment is a
random part of the seconds that the undisturbed fit took; a fit that ended before its kill does not count, and is tried
again. The status is 1 where a fit failed or its model differs in one bit.
"""

import argparse
import json
import logging
import os
import platform
import random
import re
import subprocess
import sys
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyspark
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from standalone import Cluster, kill

import spark_fm
from spark_fm import FitCallback, FMRegressor
from spark_fm.engine.training.solver import FitEpoch

logger = logging.getLogger("kills")
ROWS, PARTS = 60_000, 4
MOST_TRIES = 5
SECONDS_OF_REST = 3.0
# What the event log says when it happens, and the settings that make it happen.
CONDITIONS = {
    "speculation": (
        '"Event":"SparkListenerTaskStart".*"Speculative":true',
        {
            "spark.speculation": "true",
            "spark.speculation.interval": "10ms",
            "spark.speculation.multiplier": "1.0",
            "spark.speculation.quantile": "0.1",
            "spark.speculation.minTaskRuntime": "1ms",
        },
    ),
    "dynamic allocation": (
        '"Event":"SparkListenerExecutorRemoved"',
        {
            "spark.dynamicAllocation.enabled": "true",
            "spark.dynamicAllocation.shuffleTracking.enabled": "true",
            "spark.dynamicAllocation.shuffleTracking.timeout": "1s",
            "spark.dynamicAllocation.executorIdleTimeout": "1s",
            "spark.dynamicAllocation.cachedExecutorIdleTimeout": "1s",
            "spark.dynamicAllocation.schedulerBacklogTimeout": "1s",
        },
    ),
    "failing tasks": ('"Event":"SparkListenerTaskEnd".*"Reason":"ExceptionFailure"', {}),
}
FITS = {
    "one task": {"maxIter": 40, "numPartitions": 1, "tol": 0.0, "validationFraction": 0.0},
    "rounds": {"maxIter": 6, "numPartitions": 3, "roundsPerEpoch": 3, "tol": 0.0, "validationFraction": 0.0},
    "gibbs, one task": {"maxIter": 40, "numPartitions": 1, "solver": "gibbs"},
    "gibbs, rounds": {"maxIter": 5, "numPartitions": 2, "solver": "gibbs"},
}


def python_worker(cluster: Cluster, draw: random.Random) -> bool:
    """One of the Python processes that run tasks."""
    return _one_of(cluster.python_workers(), draw)


def executor(cluster: Cluster, draw: random.Random) -> bool:
    """One executor, with its cached blocks and its Python workers."""
    return _one_of(cluster.executors(), draw)


def all_executors(cluster: Cluster, draw: random.Random) -> bool:
    """All of them at once."""
    found = cluster.executors()
    for one in found:
        kill(one)
    return bool(found)


def worker_node(cluster: Cluster, draw: random.Random) -> bool:
    """A worker with its executor; a new one comes."""
    alive = [one for one in cluster.workers if one.poll() is None]
    chosen = draw.choice(alive)
    before = cluster.executors()
    chosen.kill()
    chosen.wait()
    after = {one.pid for one in cluster.executors()}
    for one in before:
        if one.pid not in after:
            kill(one)
    cluster.add_worker()
    return True


def _one_of(found: list, draw: random.Random) -> bool:
    if not found:
        return False
    kill(draw.choice(found))
    return True


KINDS: dict[str, Callable[[Cluster, random.Random], bool]] = {
    "Python worker": python_worker,
    "executor": executor,
    "all executors": all_executors,
    "worker node": worker_node,
}


def rows_of(spark: SparkSession, folder: Path) -> DataFrame:
    """Ratings that a user's and an item's factors decide, read from Parquet each time."""
    path = str(folder / "ratings")
    if not Path(path).exists():
        draw = np.random.default_rng(0)
        user, item = draw.integers(0, 500, ROWS), draw.integers(0, 300, ROWS)
        v = draw.normal(size=(800, 3))
        label = (v[user] * v[500 + item]).sum(axis=1) + draw.normal(size=ROWS)
        Path(path).mkdir(parents=True)
        for part in range(PARTS):
            some = slice(part, None, PARTS)
            frame = pd.DataFrame({"user": user[some], "item": 500 + item[some], "label": label[some]})
            frame.to_parquet(f"{path}/part-{part}.parquet")
    read = spark.read.parquet(path)
    return read.select(F.array("user", "item").alias("features"), "label")


class Rests(FitCallback):
    """A driver that takes its time, so that executors are idle and taken away."""

    def epoch(self, epoch: FitEpoch) -> None:
        time.sleep(SECONDS_OF_REST)


def fitted(data: DataFrame, params: dict, callback: FitCallback | None = None) -> int:
    """A checksum of the model of a fit."""
    estimator = FMRegressor(factorSize=4, seed=1, **params)
    if callback is not None:
        estimator.setCallback(callback)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights = estimator.fit(data).weights
    arrays = (weights.features, weights.linear, weights.factors, np.float64(weights.intercept))
    return zlib.crc32(b"".join(np.ascontiguousarray(one).tobytes() for one in arrays))


def disturbed(
    cluster: Cluster, data: DataFrame, params: dict, kind: str, seconds: float, draw: random.Random
) -> tuple[int | None, str, bool]:
    """The model of a fit in which something is killed, an error, and whether it was killed in time."""
    killed = threading.Event()
    ended = threading.Event()
    delay = draw.uniform(0.02, 0.9) * seconds

    def strike() -> None:
        if not ended.wait(delay) and KINDS[kind](cluster, draw):
            killed.set()

    thread = threading.Thread(target=strike)
    thread.start()
    model, error = None, ""
    try:
        model = fitted(data, params)
    except Exception as failure:
        error = f"{type(failure).__name__}: {str(failure).splitlines()[0][:200]}"
    in_time = killed.is_set()
    ended.set()
    thread.join()
    return model, error, in_time


def driver_killed(
    url: str, folder: Path, name: str, seconds: float, draw: random.Random
) -> tuple[int | None, bool]:
    """The model of a program that is killed, and run again; and whether it was killed in time."""
    checkpoints = folder / f"checkpoints-{draw.random()}"
    command = [
        sys.executable,
        __file__,
        str(folder),
        "--master",
        url,
        "--fits",
        name,
        "--checkpoints",
        str(checkpoints),
    ]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        first.wait(draw.uniform(0.1, 0.95) * seconds)
    except subprocess.TimeoutExpired:
        for one in [*psutil.Process(first.pid).children(recursive=True), psutil.Process(first.pid)]:
            kill(one)
    in_time = first.wait() != 0
    second = subprocess.run(command, capture_output=True, text=True)
    last = second.stdout.split()[-1:]
    return (int(last[0]) if second.returncode == 0 and last else None), in_time


def driver_row(url: str, folder: Path, name: str, times: int, draw: random.Random) -> dict:
    """What became of fits whose driver was killed."""
    row = {"fit": name, "killed": "driver", "times": 0, "lost fits": 0, "differing models": 0}
    command = [sys.executable, __file__, str(folder), "--master", url, "--fits", name]
    begun = time.monotonic()
    expected = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])
    seconds = time.monotonic() - begun
    for _ in range(times):
        for _ in range(MOST_TRIES):
            model, in_time = driver_killed(url, folder, name, seconds, draw)
            if in_time or model != expected:
                break
        row["times"] += int(in_time)
        row["lost fits"] += int(model is None)
        row["differing models"] += int(model not in (None, expected))
    logger.info("%s", row)
    return row


def fails_twice(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows, by the third attempt."""
    context = TaskContext.get()
    if context is not None and context.attemptNumber() < 2:
        raise RuntimeError("the first two attempts of each task fail")
    yield from batches


def condition_row(url: str, folder: Path, condition: str, name: str, times: int, expected: int) -> dict:
    """What became of fits under other settings of Spark, by its event log how often what they ask for happened."""
    log = folder / f"events-{condition}-{name}".replace(" ", "-").replace(",", "")
    log.mkdir(parents=True)
    sign, settings = CONDITIONS[condition]
    events = {"enabled": "true", "dir": log.as_uri(), "compress": "false"}
    spark = session(url, settings | {f"spark.eventLog.{key}": value for key, value in events.items()})
    row = {"fit": name, "killed": condition, "times": 0, "lost fits": 0, "differing models": 0}
    data = rows_of(spark, folder)
    callback = Rests() if condition == "dynamic allocation" else None
    if condition == "failing tasks":
        data = data.mapInArrow(fails_twice, data.schema)
    for _ in range(times):
        try:
            row["differing models"] += int(fitted(data, FITS[name], callback) != expected)
        except Exception:
            logger.exception("%s, %s", name, condition)
            row["lost fits"] += 1
    spark.stop()
    files = [path for path in log.rglob("*") if path.is_file() and not path.name.startswith(".")]
    row["times"] = sum(len(re.findall(sign, path.read_text())) for path in files)
    logger.info("%s", row)
    return row


def session(url: str, more: dict[str, str] | None = None) -> SparkSession:
    """On the cluster; executors that die again and again do not end the application."""
    settings = (more or {}) | {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.executor.memory": "512m",
        "spark.task.maxFailures": "8",
        "spark.deploy.maxExecutorRetries": "-1",
        "spark.default.parallelism": "2",
        "spark.sql.files.minPartitionNum": str(PARTS),
    }
    builder = SparkSession.builder.master(url).appName("kills")
    for name, value in settings.items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("OFF")
    return made


def told(times: int, rows: list[dict]) -> dict:
    """The rows in the form of the benchmarks' result files."""
    return {
        "command": f"make cluster-test KILLS={times}",
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.system()}",
        "versions": {
            "Python": platform.python_version(),
            "spark_fm": spark_fm.__version__,
            "pyspark": pyspark.__version__,
        },
        "tables": {"kills": rows},
    }


def main() -> int:
    """All kinds of kills in all kinds of fits."""
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=Path)
    every = [*KINDS, *CONDITIONS, "driver"]
    options.add_argument("--times", type=int, default=10)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--kinds", nargs="+", choices=every, default=every)
    options.add_argument("--fits", nargs="+", choices=list(FITS), default=list(FITS))
    options.add_argument("--table", type=Path)
    options.add_argument("--master", help="fit once there, print the checksum of the model, and end")
    options.add_argument("--checkpoints", default="")
    args = options.parse_args()
    if args.master:
        spark = session(args.master)
        params = FITS[args.fits[0]] | {"checkpointDir": args.checkpoints, "checkpointInterval": 1}
        sys.stdout.write(f"{fitted(rows_of(spark, args.folder), params)}\n")
        spark.stop()
        return 0
    logging.basicConfig(format="kills: %(message)s", stream=sys.stdout, level=logging.INFO)
    logging.getLogger("py4j").setLevel(logging.ERROR)
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    draw, rows, quiet = random.Random(args.seed), [], {}
    with Cluster(args.folder / "cluster") as cluster:
        spark = session(cluster.url)
        data = rows_of(spark, args.folder)
        for name in args.fits:
            fitted(data, FITS[name])
            begun = time.monotonic()
            expected = quiet[name] = fitted(data, FITS[name])
            seconds = time.monotonic() - begun
            for kind in (one for one in args.kinds if one in KINDS):
                row = {"fit": name, "killed": kind, "times": 0, "lost fits": 0, "differing models": 0}
                for _ in range(args.times):
                    for _ in range(MOST_TRIES):
                        model, error, in_time = disturbed(cluster, data, FITS[name], kind, seconds, draw)
                        if error or in_time or model != expected:
                            break
                    row["times"] += int(in_time)
                    row["lost fits"] += int(bool(error))
                    row["differing models"] += int(not error and model != expected)
                    if error:
                        logger.error("%s, %s: %s", name, kind, error)
                logger.info("%s", row)
                rows.append(row)
        spark.stop()
        for condition in (one for one in args.kinds if one in CONDITIONS):
            rows += [
                condition_row(cluster.url, args.folder, condition, name, args.times, quiet[name])
                for name in args.fits
            ]
        if "driver" in args.kinds:
            rows += [driver_row(cluster.url, args.folder, name, args.times, draw) for name in args.fits]
    if args.table:
        args.table.write_text(json.dumps(told(args.times, rows), indent=1) + "\n")
    return int(any(row["lost fits"] or row["differing models"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
