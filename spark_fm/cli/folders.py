"""Folders of any file system that Spark knows: looked at, compared and moved without Spark jobs.

Classic Spark has Hadoop's file systems at hand in its JVM. On Spark Connect there is no JVM: what can't be known there
is taken for possible, and nothing can be moved.
"""

import os
from pathlib import Path, PurePosixPath
from uuid import uuid4

from pyspark.sql import SparkSession

from spark_fm.cli.errors import reason
from spark_fm.engine.cluster.broadcast import is_connect
from spark_fm.engine.cluster.folders import exists, hadoop, holds_something, remove

LOCAL = "file:"


def qualified(spark: SparkSession, path: str) -> str:
    """A path with its file system and without ``..`` and links: equal for two ways to write the same."""
    if not is_connect(spark):
        files, place = hadoop(spark, path)
        path = files.makeQualified(place).toString()
    if path.startswith(LOCAL):
        path = "/" + path.removeprefix(LOCAL).lstrip("/")
    return path.rstrip("/") if "://" in path else LOCAL + os.path.realpath(path)


def is_empty(spark: SparkSession, path: str) -> bool:
    """Whether an existing path is a folder with nothing in it."""
    if is_connect(spark):
        files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(path)
        return not files.select("path").limit(1).collect()
    return not holds_something(spark, path)


def why_not_writable(spark: SparkSession, path: str) -> str:
    """What keeps files from being written to a path, as far as that can be known; empty when nothing is found."""
    place = qualified(spark, path)
    if is_connect(spark):
        return ""
    if not place.startswith(LOCAL):
        files, folder = hadoop(spark, place)
        while folder is not None and not files.exists(folder):
            folder = folder.getParent()
        if folder is not None and not files.getFileStatus(folder).isDirectory():
            return f"{folder.toString()} is a file"
        return ""
    nearest = Path(place.removeprefix(LOCAL))
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        return f"{nearest} is a file"
    return "" if os.access(nearest, os.W_OK | os.X_OK) else f"{nearest} may not be written to"


def inside(path: str, folder: str) -> bool:
    """Whether a qualified path is a folder or lies in it."""
    return PurePosixPath(path).is_relative_to(PurePosixPath(folder))


def beside(path: str, word: str) -> str:
    """A new name next to a path."""
    return f"{path.rstrip('/')}.{word}-{uuid4().hex[:8]}"


def replace_folder(spark: SparkSession, new: str, path: str) -> None:
    """Move the folder ``new`` to ``path``, in place of what is there; classic Spark only.

    What was there is moved aside first and moved back when that fails.

    Raises
    ------
    OSError
        When the file system does not move one of them.
    """
    old = beside(path, "replaced")
    had = exists(spark, path)
    if had:
        _move(spark, path, old)
    try:
        _move(spark, new, path)
    except Exception:
        if had:
            _move(spark, old, path)
        raise
    if had:
        remove(spark, old)


def clear(spark: SparkSession, path: str) -> None:
    """Empty a folder by Spark's own means, which leave an empty file in it: for where there is no JVM at hand."""
    spark.createDataFrame([], "value string").coalesce(1).write.mode("overwrite").text(path)


def _move(spark: SparkSession, source: str, target: str) -> None:
    files, place = hadoop(spark, source)
    try:
        why = "" if files.rename(place, hadoop(spark, target)[1]) else "the file system refuses it"
    except Exception as error:
        why = reason(error)
    if why:
        raise OSError(f"can't move {source} to {target}: {why}")
