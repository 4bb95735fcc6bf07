"""Saving and loading the fitted pipeline."""

import json
import re
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.ml.pipeline import PipelineSharedReadWrite
from pyspark.sql import SparkSession

from spark_fm.base.model import FMModel
from spark_fm.cli.errors import reason
from spark_fm.cli.folders import beside, clear, is_empty, replace_folder
from spark_fm.engine.cluster.broadcast import is_connect
from spark_fm.engine.cluster.execute import JOB_ERRORS
from spark_fm.engine.cluster.folders import exists, remove

# Loading a stage imports and calls the class that its metadata names. Those of pyspark.ml.connect read pickles; the
# others left out here read further stages, from folders that are not looked into.
TRUSTED = re.compile(
    r"(pyspark\.ml|org\.apache\.spark\.ml|spark_fm)\.(?!connect\.|tuning\.)"
    r"(?:\w+\.)*(?!OneVsRest|RFormula)\w+"
)
PIPELINE = "PipelineModel"


def load_model(spark: SparkSession, path: str) -> PipelineModel:
    """The pipeline at a path.

    Raises
    ------
    ValueError
        When there is none, it has stages of other packages than pyspark.ml and spark_fm, or its last stage is not a
        Factorization Machine of this package.
    """
    if not exists(spark, f"{path}/metadata"):
        raise ValueError(f"model.path: there is no model at {path}")
    found = _check_classes(spark, path)
    if not found.endswith(f".{PIPELINE}"):
        raise ValueError(
            f"model.path: found a {found} at {path}, expected a PipelineModel that the train job saved"
        )
    try:
        model = PipelineModel.load(path)
    except RuntimeError:
        raise
    except Exception as error:  # pyspark.ml's stages raise whatever they stumble over.
        raise ValueError(f"model.path: {path} can't be loaded: {reason(error)}") from None
    last = type(model.stages[-1]) if model.stages else None
    if last is None or not issubclass(last, FMModel):
        raise ValueError(
            f"model.path: the last stage of the pipeline at {path} is a {last.__name__ if last else None}, "
            "expected a Factorization Machine of spark_fm"
        )
    return model


def check_target(spark: SparkSession, path: str, overwrite: bool) -> None:
    """Check that a model may be saved to a path.

    Raises
    ------
    FileExistsError
        When there is something at it that may not be replaced.
    """
    if not exists(spark, path):
        return
    if not overwrite:
        raise FileExistsError(
            f"model.path: there is something at {path}; model.overwrite = true replaces a model"
        )
    if exists(spark, f"{path}/metadata"):
        try:
            _check_classes(spark, path)
            return
        except ValueError:
            pass
    elif is_empty(spark, path):
        return
    raise FileExistsError(
        f"model.path: found something other than a saved model at {path}, which model.overwrite does not replace; "
        "expected a model, an empty folder or nothing"
    )


def save_model(spark: SparkSession, fitted: PipelineModel, path: str) -> PipelineModel:
    """Save a pipeline in place of what is at the path, and give it back as loaded from there.

    It is written beside the path, loaded, and then moved into place: what goes wrong before leaves the old model
    and nothing of the new one. Spark Connect can't move folders: there the old model is removed first.
    """
    if is_connect(spark):
        if exists(spark, path):
            clear(spark, path)
        fitted.write().save(path)
        return load_model(spark, path)
    new = beside(path, "saving")
    try:
        fitted.write().save(new)
        model = load_model(spark, new)
        replace_folder(spark, new, path)
    finally:
        remove(spark, new)
    return model


def _check_classes(spark: SparkSession, path: str, stage: str | None = None) -> str:
    """Check the classes that loading a folder would import; the name of the outermost.

    Raises
    ------
    ValueError
        When one is not trusted, the metadata do not name one, or are those of another ``stage``.
    """
    metadata = _metadata(spark, path)
    if stage is not None and metadata.get("uid") != stage:
        raise ValueError(
            f"model.path: {path} is damaged: found the stage {metadata.get('uid')!r}, expected {stage!r}"
        )
    found: str = metadata["class"]
    if not TRUSTED.fullmatch(found):
        raise ValueError(
            f"model.path: {path} has a stage of the class {found}, expected stages of pyspark.ml and spark_fm only"
        )
    if found.rsplit(".", 1)[-1] in (PIPELINE, "Pipeline"):
        uids = metadata["paramMap"].get("stageUids")
        if not isinstance(uids, list):
            raise ValueError(f"model.path: {path} is damaged: found {uids!r} for stageUids, expected a list")
        for i, uid in enumerate(uids):
            if not isinstance(uid, str) or not re.fullmatch(r"[\w.-]+", uid):
                raise ValueError(
                    f"model.path: {path} is damaged: found a stage {uid!r}, expected a name without /"
                )
            stage = PipelineSharedReadWrite.getStagePath(uid, i, len(uids), f"{path}/stages")
            _check_classes(spark, stage, uid)
    return found


def _metadata(spark: SparkSession, path: str) -> dict[str, Any]:
    """The one line of JSON that a stage's metadata are."""
    try:
        lines = [row[0] for row in spark.read.text(f"{path}/metadata").collect()]
    except JOB_ERRORS as error:
        raise ValueError(
            f"model.path: {path} is damaged: its metadata can't be read: {reason(error)}"
        ) from None
    try:
        (line,) = lines
        metadata: dict[str, Any] = json.loads(line)
        if not isinstance(metadata["class"], str) or not isinstance(metadata["paramMap"], dict):
            raise TypeError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError(
            f"model.path: {path} is damaged: found {len(lines)} lines of metadata, expected one that names a class"
        ) from None
    return metadata
