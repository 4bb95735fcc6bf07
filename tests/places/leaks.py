"""What is left behind by many fits in one session, by fits that fail and by fits that are stopped.

python -m tests.places.leaks [--fits 50] [--table FILE]

All kinds of fits take turns. Each begins with a model that is saved, loaded, scored with and dropped. What a process
holds is counted after a warm-up of WARM_UP turns and at the end, each time after the garbage of Python and of the JVM
was collected. The status is 1 where something grew by more than its slack.
"""

import argparse
import gc
import json
import logging
import os
import platform
import re
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pyspark
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import spark_fm
from spark_fm import FMRegressor
from spark_fm.engine.cluster.broadcast import ship

logger = logging.getLogger("leaks")
WARM_UP = 2
# What may be more at the end than after the warm-up. Memory: allocators keep what was freed, and JVMs and Pythons load
# code late; Spark keeps the story of some hundred queries. Its pools of threads come and go, as idle workers do.
SLACK = {
    "persisted RDDs": 0, "stored KB": 0, "Python broadcast files": 0, "temporary files": 0,
    "/dev/shm files": 0, "job tags": 0, "Python threads": 0, "JVM threads": 20, "Python file descriptors": 2,
    "JVM file descriptors": 12, "workers": 1, "driver MB": 30, "JVM heap MB": 30, "largest worker MB": 30,
}  # fmt: skip


def rows_of(spark: SparkSession) -> DataFrame:
    """Rows of users and items, some for validation."""
    return spark.range(0, 3000, 1, 2).select(
        F.array((F.col("id") % 50).cast("int"), (50 + F.col("id") % 31).cast("int")).alias("features"),
        F.sin(F.col("id") % 50).alias("label"),
        (F.col("id") % 7 == 0).alias("held"),
        F.lit(None).cast("double").alias("empty"),
    )


def stopped(data: DataFrame, **params: Any) -> None:
    """A fit that Ctrl-C stops."""
    ended = threading.Event()

    def interrupt() -> None:
        if not ended.wait(0.6):
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with suppress(KeyboardInterrupt):
        FMRegressor(maxIter=100_000, tol=0.0, patience=100_000, **params).fit(data)
    ended.set()
    thread.join()


def refused(data: DataFrame) -> None:
    """A fit that bad rows end."""
    with suppress(ValueError):
        FMRegressor(labelCol="empty").fit(data)


def failed(data: DataFrame) -> None:
    """A fit that an error of the input ends."""
    raised = F.when(F.col("label") > 0.99, F.raise_error(F.lit("broken"))).otherwise(F.col("label"))
    with suppress(PySparkException):
        FMRegressor().fit(data.withColumn("label", raised))


def used(data: DataFrame, **params: Any) -> None:
    """A fit whose model is saved, loaded, scored with, and dropped."""
    model = FMRegressor(factorSize=4, **params).fit(data)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model")
        type(model).load(f"{folder}/model").transform(data).agg(F.avg("prediction")).collect()


KINDS: dict[str, Callable[[DataFrame], None]] = {
    "one task": lambda data: used(data, maxIter=5, numPartitions=1),
    "rounds": lambda data: used(data, maxIter=2, numPartitions=2, roundsPerEpoch=2),
    "gibbs": lambda data: used(data, maxIter=5, solver="gibbs", predictionStdCol="sd"),
    "gibbs in rounds": lambda data: used(data, maxIter=2, solver="gibbs", numPartitions=2),
    "validation": lambda data: used(data, maxIter=5, validationIndicatorCol="held"),
    "refused": refused,
    "failed": failed,
    "stopped": lambda data: stopped(data, numPartitions=1),
    "stopped in rounds": lambda data: stopped(data, numPartitions=2),
    "several": lambda data: list(FMRegressor(maxIter=2).fitMultiple(data, [{}, {}])) and None,
}


def held_now(spark: SparkSession, temporary: Path) -> dict[str, int]:
    """What is held, when what can be given back has been."""
    jvm, context = spark._jvm, spark.sparkContext
    for _ in range(3):
        gc.collect()
        jvm.java.lang.System.gc()
        time.sleep(0.7)
        # As the next fit does: it removes what only waits for that.
        ship(spark, None).release()
    memory = re.findall(r"\((\d+),(\d+)\)", context._jsc.sc().getExecutorMemoryStatus().toString())
    java = psutil.Process(jvm.java.lang.ProcessHandle.current().pid())
    me, runtime = psutil.Process(), jvm.java.lang.Runtime.getRuntime()
    workers = []
    for one in java.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "pyspark.daemon" in " ".join(one.cmdline()):
                workers.append(one.memory_info().rss)
    return {
        "persisted RDDs": context._jsc.getPersistentRDDs().size(),
        "stored KB": sum(int(most) - int(free) for most, free in memory) // 2**10,
        "Python broadcast files": len(os.listdir(context._temp_dir)),
        "temporary files": sum(1 for path in temporary.rglob("*") if path.is_file()),
        "/dev/shm files": len(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else 0,
        "job tags": len(context.getJobTags()),
        "Python threads": threading.active_count(),
        "JVM threads": jvm.java.lang.Thread.activeCount(),
        "Python file descriptors": me.num_fds(),
        "JVM file descriptors": java.num_fds(),
        "workers": len(workers),
        "driver MB": me.memory_info().rss // 2**20,
        "JVM heap MB": (runtime.totalMemory() - runtime.freeMemory()) // 2**20,
        "largest worker MB": max(workers, default=0) // 2**20,
    }


def counted(spark: SparkSession, temporary: Path, fits: int) -> list[dict[str, Any]]:
    """What is held after the warm-up and after so many fits more; as rows of a table."""
    data = rows_of(spark)
    for _ in range(WARM_UP):
        for run in KINDS.values():
            run(data)
    before = held_now(spark, temporary)
    kinds = list(KINDS)
    for number in range(fits):
        KINDS[kinds[number % len(kinds)]](data)
    after = held_now(spark, temporary)
    return [
        {"held": name, "before": before[name], "after": after[name], "slack": SLACK[name]} for name in before
    ]


def grown(rows: list[dict[str, Any]]) -> list[str]:
    """What grew by more than its slack."""
    return [
        f"{row['held']}: {row['before']} before, {row['after']} after, expected at most {row['slack']} more"
        for row in rows
        if row["after"] - row["before"] > row["slack"]
    ]


def session(temporary: Path) -> SparkSession:
    """Whose temporary files, and those of its Pythons, all lie in one folder."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    builder = SparkSession.builder.master("local[2]").appName("leaks")
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.local.dir": str(temporary),
        "spark.driver.extraJavaOptions": f"-Djava.io.tmpdir={temporary} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("OFF")
    return made


def told(fits: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows in the form of the benchmarks' result files."""
    return {
        "command": f"make leaks FITS={fits}",
        "date": date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.system()}",
        "versions": {
            "Python": platform.python_version(),
            "spark_fm": spark_fm.__version__,
            "pyspark": pyspark.__version__,
        },
        "tables": {"leaks": rows},
    }


def main() -> int:
    """Count, tell, and judge."""
    options = argparse.ArgumentParser()
    options.add_argument("--fits", type=int, default=50)
    options.add_argument("--table", type=Path)
    args = options.parse_args()
    logging.basicConfig(format="leaks: %(message)s", stream=sys.stdout, level=logging.INFO)
    logging.getLogger("py4j").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    with tempfile.TemporaryDirectory(prefix="leaks-") as folder:
        spark = session(Path(folder))
        rows = counted(spark, Path(folder), args.fits)
        spark.stop()
    for row in rows:
        logger.info("%s", row)
    found = grown(rows)
    for line in found:
        logger.error("%s", line)
    if args.table:
        args.table.write_text(json.dumps(told(args.fits, rows), indent=1) + "\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
