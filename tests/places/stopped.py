"""A process whose fits are interrupted by Ctrl-C in each of their phases, by both solvers; test_stop.py runs it.

Its argument says whose handler of SIGINT there is: pyspark's, or Python's own, which notebooks set before each
cell. The last line that it prints is what came of each fit, as JSON.
"""

import json
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark import SparkContext
from pyspark.sql import DataFrame, SparkSession

from spark_fm import FMRegressor
from spark_fm.engine.packing import dealing
from spark_fm.engine.training import gibbs_task, rounds
from spark_fm.engine.training import single_task as memory

ROWS = [([i % 5, 5 + i % 3], float(i % 4)) for i in range(200)]
Batches = Iterator[pa.RecordBatch]


def wait_in_task(batches: Batches, marker: str, **_: Any) -> Batches:
    """Tell that the task runs, and wait for the end of the test."""
    Path(marker).touch()
    while not Path(marker).with_name("end").exists():
        time.sleep(0.01)
    yield from batches


def interrupt_when_there_is(marker: Path) -> None:
    while not marker.exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)


def job_of_another(spark: SparkSession, marker: Path) -> None:
    """Something else that the application does."""
    spark.range(0, 1, 1, 1).mapInArrow(partial(wait_in_task, marker=str(marker)), "id long").collect()


def wait_until(found: Callable[[], bool]) -> bool:
    """Whether it comes true within a minute."""
    end = time.monotonic() + 60
    while not found():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def interrupted(spark: SparkSession, marker: Path, estimator: FMRegressor, data: DataFrame) -> dict[str, Any]:
    """What came of a fit that is interrupted when a task has made the marker."""
    context: SparkContext = spark.sparkContext
    tracker, handler = context.statusTracker(), signal.getsignal(signal.SIGINT)
    others = set(tracker.getActiveJobsIds())
    threading.Thread(target=interrupt_when_there_is, args=(marker,), daemon=True).start()
    try:
        estimator.fit(data)
        raised = ""
    except KeyboardInterrupt:
        raised = "KeyboardInterrupt"
    except BaseException:
        raised = traceback.format_exc()
    return {
        "raised": raised,
        "jobs ended": wait_until(lambda: set(tracker.getActiveJobsIds()) == others),
        "persisted": context._jsc.getPersistentRDDs().size(),
        "handler is as before": signal.getsignal(signal.SIGINT) is handler,
    }


def main() -> None:
    # Up to four failures of a task, as on a cluster: Spark 3.5 may hand the worker of a killed task to the next one,
    # and end it a few seconds later.
    session = SparkSession.builder.master("local[3, 4]").config("spark.ui.enabled", "false")
    spark = session.config("spark.sql.shuffle.partitions", "2").getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    if sys.argv[1] == "python":
        signal.signal(signal.SIGINT, signal.default_int_handler)
    data = spark.createDataFrame(ROWS, "features array<int>, label double").coalesce(1)
    one_task = FMRegressor(maxIter=2, numPartitions=1)
    two_partitions = FMRegressor(maxIter=2, numPartitions=2)
    sampler = FMRegressor(solver="gibbs", factorSize=2, maxIter=3, numPartitions=1)
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "other"
        others = threading.Thread(target=job_of_another, args=(spark, other))
        others.start()
        wait_until(other.exists)
        for name, estimator, module, function in (
            ("packing", one_task, None, ""),
            ("one task", one_task, memory, "train_all"),
            ("dealing", two_partitions, dealing, "deal"),
            ("rounds", two_partitions, rounds, "run_round"),
            ("sampler", sampler, gibbs_task, "sample_all"),
        ):
            marker = Path(folder) / name
            waiting = partial(wait_in_task, marker=str(marker))
            if module is None:
                told[name] = interrupted(spark, marker, estimator, data.mapInArrow(waiting, data.schema))
            else:
                usual = getattr(module, function)
                setattr(module, function, waiting)
                told[name] = interrupted(spark, marker, estimator, data)
                setattr(module, function, usual)
            told[name]["next fit"] = estimator.fit(data).numFeatures
        told["other job runs on"] = len(spark.sparkContext.statusTracker().getActiveJobsIds()) == 1
        (Path(folder) / "end").touch()
        others.join()
        spark.stop()
    sys.stdout.write("\n" + json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
