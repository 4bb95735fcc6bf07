"""How much memory the driver's Python has left, told before the system would end it in the middle of a round."""

from contextlib import suppress
from pathlib import Path

from pyspark.sql import SparkSession

from spark_fm.core.fm.table import columns_of
from spark_fm.engine.cluster.broadcast import is_connect
from spark_fm.engine.cluster.driver_limits import GIB, bytes_of

OVERHEAD = "spark.driver.memoryOverhead"
MACHINE = "the driver's machine"
CONTAINER = "the driver's container"
# Bytes of a feature: its statistics, and tables of its parameters, of which the most are held while a round is merged.
STATISTICS = 64
TABLES = 8
MEMINFO = Path("/proc/meminfo")
CGROUPS = [
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
]


def room(spark: SparkSession) -> dict[str, int]:
    """Bytes that are left, by what limits them; empty where nobody can tell."""
    found = {}
    with suppress(OSError, ValueError, StopIteration):
        lines = MEMINFO.read_text().splitlines()
        found[MACHINE] = int(next(x for x in lines if x.startswith("MemAvailable")).split()[1]) * 1024
    for limit, usage in CGROUPS:
        with suppress(OSError, ValueError):
            found[CONTAINER] = max(0, int(limit.read_text()) - int(usage.read_text()))
    if not is_connect(spark):
        conf = spark.sparkContext.getConf()
        overhead = conf.get(OVERHEAD)
        # Elsewhere Python is no part of what the cluster manager counts.
        if overhead and conf.get("spark.submit.deployMode") == "cluster":
            found[OVERHEAD] = bytes_of(overhead + ("m" if overhead.isdigit() else ""))
    return found


def check_room(left: dict[str, int], features: int, factor_size: int, columns: int = 0) -> None:
    """Whether the driver's Python can hold what training a model in rounds takes; of each feature it holds so many
    ``columns``, 0: as many as there are factors.

    Raises
    ------
    ValueError
        Naming what is too small, and what to do.
    """
    needed = features * (STATISTICS + TABLES * 4 * columns_of(columns or factor_size))
    for name, most in left.items():
        if needed > most:
            more = "use a larger one"
            if name == OVERHEAD:
                more = f"start Spark with {name} of {-(-needed // GIB)}g or more"
            raise ValueError(
                f"a model of {features:,} features that occur and {factor_size} factors takes "
                f"{needed / GIB:.2g} GiB of the driver's Python, {name} has "
                f"{most / GIB:.2g} GiB left: {more}, choose a smaller factorSize, or "
                "hash into fewer features"
            )
