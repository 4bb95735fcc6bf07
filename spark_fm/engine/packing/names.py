"""Names of columns: which are one name for Spark, and whether those that users choose are free."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession


def folding(spark: SparkSession) -> Callable[[str], str]:
    """What names have in common that are one name for Spark: it tells upper from lower case only where
    spark.sql.caseSensitive says so.
    """
    # Serverless compute may not tell its settings.
    with suppress(PySparkException):
        if str(spark.conf.get("spark.sql.caseSensitive")).lower() == "true":
            return str
    return str.lower


def check_names(
    spark: SparkSession,
    chosen: Mapping[str, str],
    columns: Collection[str] = (),
    ours: Collection[str] = (),
) -> None:
    """Check that columns can be added, or stand beside each other, under the names that a user has chosen.

    Parameters
    ----------
    chosen : the names by param; an empty one stands for no column
    columns : those that there are, to which the chosen ones are added
    ours : names that we add beside the chosen ones, which none of the ``columns`` may have either

    Raises
    ------
    ValueError
        Naming the param and what has its name.
    """
    fold = folding(spark)
    taken = {fold(name) for name in columns}
    own = {fold(name) for name in ours}
    for name in columns:
        if fold(name) in own:
            raise ValueError(
                f"found a column {name!r}, which is the name of one that spark_fm adds, expected another name"
            )
    seen: dict[str, str] = {}
    for param, name in chosen.items():
        if not name:
            continue
        if fold(name) in own:
            raise ValueError(
                f"{param}: found {name!r}, which is the name of one that spark_fm adds, expected another name"
            )
        if fold(name) in taken:
            raise ValueError(f"{param}: there is already a column {name!r}, expected another name")
        if fold(name) in seen:
            raise ValueError(f"{seen[fold(name)]}, {param}: found {name!r} for both, expected two names")
        seen[fold(name)] = param
