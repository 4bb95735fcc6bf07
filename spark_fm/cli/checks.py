"""What can be known to be wrong before any row is read."""

import tempfile
from collections import Counter
from collections.abc import Mapping
from fnmatch import fnmatchcase
from math import isfinite
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from spark_fm.base.converters import two_thresholds
from spark_fm.cli.config import Config, Input, Split
from spark_fm.cli.errors import reason
from spark_fm.cli.folders import inside, qualified, why_not_writable
from spark_fm.cli.read import GENERATED, expanded, unknown_format
from spark_fm.engine.encoding.specs import spec_of

GLOB = "*?[]{}"
LARGEST_INT = 2**31 - 1
LARGEST_LONG = 2**63 - 1


def check_settings(config: Config) -> None:
    """Check what the config alone tells.

    Raises
    ------
    ValueError
        In one sentence that names the key.
    """
    seeds = {"split.seed": config.split.seed}
    seeds |= {
        "params.seed": config.params.get("seed", 0),
        "compare.spark.seed": config.compare.spark.get("seed", 0),
    }
    for key, seed in seeds.items():
        if isinstance(seed, int) and not -LARGEST_LONG - 1 <= seed <= LARGEST_LONG:
            raise ValueError(f"{key}: found {seed}, expected an integer of 64 bits")
    if not 1 <= config.columns.numFeatures <= LARGEST_INT:
        raise ValueError(
            f"columns.numFeatures: found {config.columns.numFeatures}, expected an integer from 1 to {LARGEST_INT}"
        )
    _check_columns(config)
    _check_fields(config)
    _check_split(config.split)
    _check_thresholds(config.params.get("thresholds"))
    for name in ("predictionCol", "probabilityCol"):
        if config.params.get(name) == "":
            raise ValueError(
                f"params.{name}: found an empty name, expected that of the column for what jobs measure"
            )
    for key, path in (("model.path", config.model.path), ("output.path", config.output.path)):
        if any(letter in path for letter in GLOB):
            raise ValueError(f"{key}: found {path!r}, expected the path of one folder, without any of {GLOB}")


def _check_columns(config: Config) -> None:
    columns = config.columns
    if columns.positive and config.task == "regression":
        raise ValueError(
            f'columns.positive: found {columns.positive!r}, expected it with task = "classification" only'
        )
    for key, names in (("categorical", columns.categorical), ("numeric", columns.numeric)):
        for name, times in Counter(names).items():
            if times > 1:
                raise ValueError(f"columns.{key}: found {name!r} {times} times, expected each column once")
            if name in (columns.label, columns.validation):
                raise ValueError(
                    f"columns.{key}: found {name!r}, which is the label or the validation column, expected features"
                )


def _check_fields(config: Config) -> None:
    columns = config.columns
    for field in config.fields:
        spec = spec_of(field)
        for name in spec.columns:
            if spec.kind != "cross" and name in (columns.label, columns.validation, columns.weight):
                raise ValueError(
                    f"fields: {spec.kind} of {name!r}, which is the label, the validation or the weight column, "
                    "expected features"
                )
    if columns.cold and not config.fields:
        raise ValueError(f"columns.cold: found {columns.cold!r}, expected it beside [[fields]] only")
    if columns.fill is not None and not isfinite(columns.fill):
        raise ValueError(f"columns.fill: found {columns.fill}, expected a finite number")
    if config.fields and columns.fill is not None:
        raise ValueError(
            "columns.fill: found it beside [[fields]], expected fill in the field of the numbers that it fills"
        )


def _check_split(split: Split) -> None:
    kind, needed = f'kind = "{split.kind}"', {"random": (), "time": ("time",), "last": ("time", "user")}
    if split.column and split.kind != "random":
        raise ValueError(f"split.column: found {split.column!r} beside {kind}, expected one of them")
    for key in needed[split.kind]:
        if not getattr(split, key):
            raise ValueError(f"split.{key}: missing, expected the column of the {key}s for {kind}")
    for key in ("time", "user"):
        if split.kind == "random" and getattr(split, key):
            raise ValueError(
                f'split.{key}: found {getattr(split, key)!r}, expected it with kind = "time" or "last"'
            )
    if split.rows < 1:
        raise ValueError(f"split.rows: found {split.rows}, expected an integer >= 1")


def _check_thresholds(found: Any) -> None:
    # What is no list, the param's own converter refuses.
    if isinstance(found, list):
        try:
            two_thresholds(found)
        except ValueError as error:
            raise ValueError(f"params.{error}") from None


def report_folder(path: str) -> Path:
    """Make the folder of the report, and write to it.

    Raises
    ------
    ValueError
        When the path has a scheme (the report is written without Spark), or nothing can be written to it.
    """
    if "://" in path:
        raise ValueError(f"report.folder: found {path}, expected a local folder")
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"report.folder: can't write to {path} ({error.strerror}), expected a folder to write to"
        ) from error
    return folder


def check_places(spark: SparkSession, config: Config, sources: Mapping[str, Input] | None = None) -> None:
    """Check that the paths are different ones, and that model and output can be written.

    Parameters
    ----------
    sources : what is read, by its table in the config; that is [input] unless given

    Raises
    ------
    ValueError
        In one sentence that names the keys.
    """
    written = {"model.path": config.model.path, "output.path": config.output.path}
    read = {f"{key}.path": source.path for key, source in (sources or {"input": config.input}).items()}
    paths = {key: "" if path == GENERATED else expanded(path, key) for key, path in read.items()} | written
    places = {key: _place(spark, key, path) for key, path in paths.items() if path}
    keys = list(places)
    for i, one in enumerate(keys):
        for other in (key for key in keys[i + 1 :] if key in written):
            _check_apart(other, one, places)
            _check_apart(one, other, places)
    places["report.folder"] = _place(
        spark, "report.folder", "file:" + str(Path(config.report.folder).resolve())
    )
    for key in keys:
        _check_apart("report.folder", key, places)
    for key, path in written.items():
        problem = why_not_writable(spark, path) if path else ""
        if problem:
            raise ValueError(f"{key}: can't write to {path}: {problem}, expected a folder to write to")


def _place(spark: SparkSession, key: str, path: str) -> str:
    try:
        return qualified(spark, path)
    except Exception as error:
        raise ValueError(f"{key}: {path} can't be reached: {reason(error)}") from error


def _check_apart(inner: str, outer: str, places: dict[str, str]) -> None:
    """Check that a place is not in another, nor one of the files that a pattern there stands for."""
    place, folder = places[inner], places[outer]
    if inside(place, folder) or fnmatchcase(place, folder):
        where = "the same as" if place == folder else "inside"
        raise ValueError(
            f"{inner}: found {place}, which is {where} {outer} ({folder}), expected another place"
        )


def check_output_format(spark: SparkSession, name: str) -> None:
    """Check that Spark knows the format of the output.

    Raises
    ------
    ValueError
        When it does not.
    """
    try:
        spark.read.format(name).load("").schema  # noqa: B018  on Spark Connect this is where the format is looked up
    except Exception as error:  # Anything else that Spark says is about the empty path.
        if "DATA_SOURCE_NOT_FOUND" in str(error):
            raise ValueError(unknown_format("output.format", name)) from error
