"""Saved pipelines: what is replaced, what is left when saving fails, and what may be loaded."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import DataFrame, SparkSession

from spark_fm import FMRegressor
from spark_fm.cli import model as saving
from spark_fm.cli.config import Columns, Config
from spark_fm.cli.folders import clear
from spark_fm.cli.model import check_target, load_model, save_model
from spark_fm.cli.stages import FEATURES, encoders


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    return spark.range(40).selectExpr("id % 4 AS user", "id % 5 AS movie", "cast(id % 3 AS double) AS label")


@pytest.fixture(scope="module")
def fitted(rows: DataFrame) -> PipelineModel:
    columns = Columns(categorical=("user", "movie"))
    fm = FMRegressor(featuresCol=FEATURES, maxIter=1)
    return Pipeline(stages=[*encoders(Config(columns=columns), rows.schema), fm]).fit(rows)


@pytest.fixture(scope="module")
def saved(spark: SparkSession, fitted: PipelineModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model"
    save_model(spark, fitted, str(path))
    return path


def test_a_model_is_replaced_and_nothing_is_left_beside_it(
    spark: SparkSession, fitted: PipelineModel, rows: DataFrame, saved: Path
) -> None:
    (saved / "of the old model").write_text("", "utf-8")
    model = save_model(spark, fitted, f"{saved}/")
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    assert not (saved / "of the old model").exists()
    assert load_model(spark, str(saved)).transform(rows).collect() == model.transform(rows).collect()


@pytest.mark.parametrize("broken", ["PipelineModel.write", "load_model", "replace_folder"])
def test_a_save_that_fails_leaves_the_old_model_and_nothing_of_the_new(
    spark: SparkSession, fitted: PipelineModel, saved: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fails(*_: Any) -> Any:
        raise OSError("No space left on device")

    before = sorted(str(path) for path in saved.rglob("*"))
    with monkeypatch.context() as patch:
        # Half of the new one is there when its last stage fails.
        target = fitted.stages[-1] if broken == "PipelineModel.write" else saving
        patch.setattr(target, broken.rsplit(".", 1)[-1], fails)
        with pytest.raises(OSError, match="No space left"):
            save_model(spark, fitted, str(saved))
    assert sorted(str(path) for path in saved.rglob("*")) == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    load_model(spark, str(saved))


def test_the_old_model_comes_back_when_the_new_one_cannot_be_moved(spark: SparkSession, saved: Path) -> None:
    with pytest.raises(OSError, match=r"can't move .*/none to .*/model: .* does not exist"):
        saving.replace_folder(spark, str(saved.parent / "none"), str(saved))
    load_model(spark, str(saved))
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_without_a_jvm_the_folder_is_cleared_by_spark(
    spark: SparkSession, fitted: PipelineModel, saved: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model"
    shutil.copytree(saved, path)
    (path / "of the old model").write_text("", "utf-8")
    clear(spark, str(path))
    fitted.write().save(str(path))
    assert not (path / "of the old model").exists()
    load_model(spark, str(path))


def test_only_models_and_empty_folders_are_replaced(spark: SparkSession, saved: Path, tmp_path: Path) -> None:
    check_target(spark, str(tmp_path), overwrite=True)
    check_target(spark, str(tmp_path / "new"), overwrite=False)
    check_target(spark, str(saved), overwrite=True)
    with pytest.raises(
        FileExistsError, match=r"model\.path: there is something at .*overwrite = true replaces a model"
    ):
        check_target(spark, str(saved), overwrite=False)
    sentence = r"model\.path: found something other than a saved model at .*, expected|which model\.overwrite does not"
    for name, text in (("thesis.txt", "words"), ("metadata", "words"), ("metadata", '{"class": "os.path"}')):
        folder = tmp_path / "other"
        folder.mkdir()
        (folder / name).write_text(text, "utf-8")
        with pytest.raises(FileExistsError, match=sentence):
            check_target(spark, str(folder), overwrite=True)
        assert (folder / name).read_text("utf-8") == text
        shutil.rmtree(folder)


def with_class(path: Path, name: str) -> None:
    """Give a stage's metadata another class."""
    (part,) = (path / "metadata").glob("part-*")
    metadata = json.loads(part.read_text("utf-8")) | {"class": name}
    shutil.rmtree(path / "metadata")
    (path / "metadata").mkdir()
    (path / "metadata" / "part-00000").write_text(json.dumps(metadata) + "\n", "utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "evil.module.Stage",
        "pyspark.mlx.Stage",
        "pyspark.ml.connect.classification.LogisticRegressionModel",
        "pyspark.ml.tuning.CrossValidatorModel",
        "org.apache.spark.ml.classification.OneVsRestModel",
    ],
)
def test_other_classes_are_refused_before_they_are_imported(
    spark: SparkSession, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "model"
    shutil.copytree(saved, path)
    with_class(sorted((path / "stages").iterdir())[-1], name)
    monkeypatch.setattr(PipelineModel, "load", None)
    sentence = (
        rf"model\.path: .* has a stage of the class {name}, expected stages of pyspark\.ml and spark_fm only$"
    )
    with pytest.raises(ValueError, match=sentence):
        load_model(spark, str(path))


def test_stages_of_stages_are_looked_at(
    spark: SparkSession, rows: DataFrame, fitted: PipelineModel, tmp_path: Path
) -> None:
    path = tmp_path / "nested"
    PipelineModel([PipelineModel(fitted.stages[:-1]), fitted.stages[-1]]).save(str(path))
    load_model(spark, str(path)).transform(rows).collect()
    inner = sorted((path / "stages").iterdir())[0]
    with_class(sorted((inner / "stages").iterdir())[0], "evil.Stage")
    with pytest.raises(ValueError, match=r"has a stage of the class evil\.Stage"):
        load_model(spark, str(path))


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ("words", "is damaged: found 1 lines of metadata, expected one that names a class"),
        ("{}\n{}", "is damaged: found 2 lines of metadata"),
        ('{"class": 3, "paramMap": {}}', "is damaged"),
        (
            '{"class": "pyspark.ml.pipeline.PipelineModel", "paramMap": {"stageUids": ["a/../b"]}}',
            "is damaged: found a stage 'a/../b', expected a name without /",
        ),
        (
            '{"class": "pyspark.ml.feature.Binarizer", "paramMap": {}}',
            "found a pyspark.ml.feature.Binarizer at .*, expected a PipelineModel that the train job saved",
        ),
    ],
)
def test_damaged_metadata(spark: SparkSession, tmp_path: Path, metadata: str, sentence: str) -> None:
    (tmp_path / "metadata").write_text(metadata, "utf-8")
    with pytest.raises(ValueError, match=rf"model\.path: .*{sentence}"):
        load_model(spark, str(tmp_path))


def test_a_stage_that_is_not_there(spark: SparkSession, saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "model"
    shutil.copytree(saved, path)
    shutil.rmtree(sorted((path / "stages").iterdir())[-1])
    with pytest.raises(ValueError, match=r"model\.path: .*/stages/.* is damaged: its metadata can't be read"):
        load_model(spark, str(path))
