"""Where rows go: whether they may, and writing them."""

import logging

from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from spark_fm.cli.checks import check_output_format
from spark_fm.cli.config import Output
from spark_fm.engine.cluster.folders import exists

logger = logging.getLogger("spark_fm.cli")
REFUSES = ("error", "errorifexists")


def is_wanted(spark: SparkSession, output: Output) -> bool:
    """Whether rows are to be written; False where there are some that ``output.mode`` leaves as they are.

    Raises
    ------
    ValueError
        When not one place is named, Spark does not know the format, or there is something that may not be replaced.
    """
    if bool(output.path) == bool(output.table):
        found = "both" if output.path else "neither"
        raise ValueError(f"output: found {found}, expected a path or a table to write to")
    check_output_format(spark, output.format)
    target = output.path or output.table
    if not (spark.catalog.tableExists(output.table) if output.table else exists(spark, output.path)):
        return True
    if output.mode in REFUSES:
        raise ValueError(
            f'output: {target} already exists, expected nothing there; output.mode = "overwrite" replaces it'
        )
    if output.mode == "ignore":
        logger.warning('output: %s already exists: nothing is written (output.mode = "ignore")', target)
        return False
    return True


def write(rows: DataFrame, output: Output) -> int:
    """Write rows, and count them."""
    written = Observation()
    observed = rows.observe(written, F.count(F.lit(1)).alias("rows"))
    mode = "error" if output.mode in REFUSES else output.mode
    writer = observed.write.format(output.format).mode(mode).options(**output.options)
    if output.table:
        writer.saveAsTable(output.table)
    else:
        writer.save(output.path)
    found: int = written.get["rows"]
    return found
