import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from chispa import assert_df_equality
from pyspark.errors import PySparkException
from pyspark.ml.classification import LogisticRegression
from pyspark.sql import functions as F

from spark_fm import FMClassificationModel, FMClassifier, FMRegressionModel, FMRegressor
from spark_fm.base import persistence
from spark_fm.engine.encoding.fields import FORMAT
from tests.ml.frames import assert_same_weights


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "saved")


@pytest.fixture(scope="module")
def template(planted_model, tmp_path_factory):
    """A folder with a saved model, to be copied."""
    folder = tmp_path_factory.mktemp("template") / "saved"
    planted_model.save(str(folder))
    return folder


def data_of(path):
    """The folder of a saved model's parameters."""
    (folder,) = Path(path).glob("data-*")
    return folder


@pytest.fixture
def saved(template, path):
    """The path of a saved model, to be damaged."""
    shutil.copytree(template, path)
    return path


def change_metadata(path, **changes):
    """Rewrite a saved folder's metadata; a value of None takes the entry out. As in version 0.2 they have no seal."""
    folder = Path(path) / "metadata"
    (part,) = folder.glob("part-*")
    metadata = json.loads(part.read_text()) | {"metadataChecksum": None} | changes
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "part-00000").write_text(json.dumps({k: v for k, v in metadata.items() if v is not None}))
    (folder / "_SUCCESS").touch()


def test_regression_model_comes_back_as_it_was(rating_model, ratings, path):
    model = rating_model.copy({rating_model.predictionCol: "p"})
    model.save(path)
    loaded = FMRegressionModel.load(path)
    assert isinstance(loaded, FMRegressionModel)
    assert_same_weights(loaded, model)
    assert loaded.uid == model.uid
    assert {p.name: v for p, v in loaded.extractParamMap().items()} == {
        p.name: v for p, v in model.extractParamMap().items()
    }
    assert {p.name for p in loaded._paramMap} == {p.name for p in model._paramMap}
    assert_df_equality(loaded.transform(ratings), model.transform(ratings))
    assert loaded.hasSummary
    assert repr(loaded.summary) == repr(model.summary)


def test_classification_model_comes_back_as_it_was(binary_model, binary, path):
    model = binary_model.copy().setThresholds([0.3, 0.7]).setProbabilityCol("p")
    model.write().save(path)
    loaded = FMClassificationModel.read().load(path)
    assert_same_weights(loaded, model)
    assert loaded.getThresholds() == [0.3, 0.7]
    assert_df_equality(loaded.transform(binary), model.transform(binary))


@pytest.mark.parametrize("factor_size", [0, 1, 9])
def test_models_of_every_factor_size_come_back(small, path, factor_size):
    model = FMRegressor(factorSize=factor_size, maxIter=2, validationFraction=0.0).fit(small)
    model.save(path)
    assert_same_weights(FMRegressionModel.load(path), model)
    assert FMRegressionModel.load(path).weights.factors.shape[1] == factor_size


def test_model_without_features_comes_back(small, path):
    model = FMRegressor(maxIter=0).fit(small)
    model.save(path)
    loaded = FMRegressionModel.load(path)
    assert_same_weights(loaded, model)
    assert loaded.weights.features.size == 0


@pytest.mark.parametrize("estimator", [FMRegressor, FMClassifier])
def test_estimator_comes_back_as_it_was(estimator, path):
    original = estimator(factorSize=3, regParam=0.5, labelCol="y", solver="adagrad", normalize=True)
    original.save(path)
    loaded = estimator.load(path)
    assert isinstance(loaded, estimator)
    assert loaded.uid == original.uid
    assert {p.name: v for p, v in loaded._paramMap.items()} == {
        p.name: v for p, v in original._paramMap.items()
    }
    assert loaded.getRegParamLinear() == 0.5
    assert loaded.getInitialModel() is None


def test_estimator_comes_back_with_its_initial_model(planted_model, small, path):
    original = FMRegressor(factorSize=4, maxIter=1, initialModel=planted_model)
    original.save(path)
    assert original.getInitialModel() is planted_model
    loaded = FMRegressor.load(path)
    assert_same_weights(loaded.getInitialModel(), planted_model)
    assert_same_weights(loaded.fit(small), original.fit(small))
    original.write().overwrite().save(path)
    assert FMRegressor.load(path).getInitialModel().uid == planted_model.uid


def test_saving_again_needs_overwrite(planted_model, rating_model, path):
    planted_model.save(path)
    sentence = f"there is already something at {path}; write().overwrite().save(...) replaces it"
    for instance in (rating_model, FMRegressor()):
        with pytest.raises(FileExistsError, match=re.escape(sentence)):
            instance.save(path)
    assert_same_weights(FMRegressionModel.load(path), planted_model)
    rating_model.write().overwrite().save(path)
    assert_same_weights(FMRegressionModel.load(path), rating_model)


def test_overwriting_leaves_nothing_of_what_was_there(planted_model, path):
    FMRegressor(initialModel=planted_model).save(path)
    FMRegressor(maxIter=1).write().overwrite().save(path)
    assert {p.name for p in Path(path).iterdir()} == {"metadata"}
    assert FMRegressor.load(path).getInitialModel() is None


def test_sql_can_read_the_parameters(spark, rating_model, path):
    rating_model.save(path)
    data = spark.sql(f"select * from parquet.`{path}/data-*` order by feature")
    assert [(f.name, f.dataType.simpleString()) for f in data.schema] == [
        ("feature", "bigint"),
        ("linear", "float"),
        ("factors", "array<float>"),
        ("mean", "float"),
        ("root_mean_square", "float"),
    ]
    rows = data.collect()
    assert [row.feature for row in rows] == rating_model.weights.features.tolist()
    np.testing.assert_array_equal(np.float32([row.factors for row in rows]), rating_model.weights.factors)
    np.testing.assert_array_equal(np.float32([row.linear for row in rows]), rating_model.weights.linear)


def test_metadata_are_json(planted_model, saved):
    (part,) = (Path(saved) / "metadata").glob("part-*")
    metadata = json.loads(part.read_text())
    assert metadata["class"] == "spark_fm.regression.FMRegressionModel"
    assert metadata["formatVersion"] == 3
    assert data_of(saved).name == f"data-{metadata['save']}"
    assert metadata["summary"]["bestEpoch"] == planted_model.summary.bestEpoch
    assert (metadata["numFeatures"], metadata["factorSize"]) == (45, 4)
    assert metadata["intercept"] == planted_model.intercept


# What can't be read is refused with a sentence.


def refused(cls, path):
    with pytest.raises(ValueError, match=re.escape(path)) as found:
        cls.load(path)
    return str(found.value)


def test_path_without_anything_is_refused(path):
    sentence = (
        f"{path} is not a saved spark_fm.regression.FMRegressionModel: its metadata folder can't be read"
    )
    assert refused(FMRegressionModel, path).startswith(sentence)


def test_folder_of_something_else_is_refused(spark, path):
    spark.range(3).write.parquet(path)
    assert "its metadata folder can't be read" in refused(FMRegressionModel, path)


def test_metadata_that_are_no_json_are_refused(saved):
    folder = Path(saved) / "metadata"
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "part-00000").write_text("not json\n")
    assert "its metadata folder can't be read" in refused(FMRegressionModel, saved)


def test_other_classes_are_refused(saved):
    assert refused(FMClassificationModel, saved) == (
        f"{saved} holds a spark_fm.regression.FMRegressionModel, expected a "
        "spark_fm.classification.FMClassificationModel"
    )
    assert "expected a spark_fm.regression.FMRegressor" in refused(FMRegressor, saved)


def test_pysparks_models_are_refused(path):
    LogisticRegression().save(path)
    assert "org.apache.spark.ml.classification.LogisticRegression" in refused(FMClassifier, path)


@pytest.mark.parametrize("version", [4, 0, "1", None])
def test_other_format_versions_are_refused(saved, version):
    change_metadata(saved, formatVersion=version)
    assert refused(FMRegressionModel, saved) == (
        f"{saved} has the format version {version}, expected 1 to 3; a newer spark_fm may read it"
    )


def test_missing_data_are_refused(saved):
    shutil.rmtree(data_of(saved))
    assert refused(FMRegressionModel, saved).startswith(f"{saved} is damaged: its parameters can't be read: ")


def test_missing_rows_are_refused(spark, saved):
    folder = str(data_of(saved))
    data = spark.read.parquet(folder)
    spark.createDataFrame(data.limit(40).collect(), data.schema).write.mode("overwrite").parquet(folder)
    assert refused(FMRegressionModel, saved) == (
        f"{saved} is damaged: found the parameters of 40 features, expected 45"
    )


@pytest.mark.parametrize(
    "columns",
    [
        ["id + 1.5 as other"],
        ["id as feature", "cast(id as float) as linear"],
        ["cast(0 as bigint) as feature", "cast(id as float) as linear", "array(1f, 1f, 1f, 1f) as factors"],
        ["id as feature", "cast('nan' as float) as linear", "array(1f, 1f, 1f, 1f) as factors"],
        ["id as feature", "cast(id as float) as linear", "array(1f, 1f, 1f) as factors"],
        ["id - 1 as feature", "cast(id as float) as linear", "array(1f, 1f, 1f, 1f) as factors"],
    ],
    ids=["other columns", "no factors", "a feature twice", "not a number", "short factors", "below 0"],
)
def test_foreign_parquet_is_refused(spark, saved, columns):
    spark.range(45).selectExpr(*columns).write.mode("overwrite").parquet(str(data_of(saved)))
    assert "is damaged" in refused(FMRegressionModel, saved)


def test_damaged_parquet_is_refused(saved):
    for part in data_of(saved).glob("part-*.parquet"):
        part.write_bytes(b"PAR1 this is no parquet PAR1")
    for checksum in data_of(saved).glob(".*.crc"):
        checksum.unlink()
    assert refused(FMRegressionModel, saved).startswith(f"{saved} is damaged: its parameters can't be read: ")


@pytest.mark.parametrize(
    ("entry", "value", "told"),
    [
        ("intercept", None, "found None for intercept, expected a finite number"),
        ("intercept", "1", "found '1' for intercept, expected a finite number"),
        ("intercept", float("nan"), "found nan for intercept, expected a finite number"),
        ("numFeatures", -1, "found -1 for numFeatures, expected an integer >= 0"),
        ("numFeatures", True, "found True for numFeatures, expected an integer >= 0"),
        ("numFeatures", 44, "found the feature 44, expected less than numFeatures, 44"),
        ("factorSize", 4.5, "found 4.5 for factorSize, expected an integer >= 0"),
        ("factorSize", 5, "its parameters can't be read"),
        ("parameterRows", "45", "found '45' for parameterRows, expected an integer >= 0"),
        ("checksum", 1, "found other parameters than those that were saved"),
        ("labelBytes", "many", "found 'many' for labelBytes, expected an integer >= 0"),
        ("save", "a/../../b", "found 'a/../../b' for save, expected 32 hexadecimal digits"),
        ("uid", None, "its metadata can't be read: KeyError: 'uid'"),
        ("paramMap", {"unheard": 1}, "its metadata can't be read: "),
        ("paramMap", {"factorSize": "many"}, "its metadata can't be read: "),
        ("paramMap", 3, "its metadata can't be read: "),
        ("summary", {"rows": 1}, "found the summary"),
    ],
)
def test_damaged_metadata_are_refused(saved, entry, value, told):
    change_metadata(saved, **{entry: value})
    found = refused(FMRegressionModel, saved)
    assert f"is damaged: {told}" in found
    assert "\n" not in found


def test_metadata_have_a_seal(saved):
    (part,) = (Path(saved) / "metadata").glob("part-*")
    metadata = json.loads(part.read_text())
    change_metadata(saved, metadataChecksum=metadata["metadataChecksum"], numFeatures=46)
    assert refused(FMRegressionModel, saved) == (
        f"{saved} is damaged: found other metadata than those that were saved"
    )


def test_a_save_in_the_metadata_leads_nowhere_else(planted_model, saved):
    victim = Path(saved).parent / "victim"
    victim.mkdir()
    change_metadata(saved, save="a/../../victim")
    planted_model.write().overwrite().save(saved)
    assert victim.is_dir()


def test_changed_parameters_are_refused(spark, saved):
    folder = str(data_of(saved))
    data = spark.read.parquet(folder).withColumn("linear", (F.col("linear") + 1e-3).cast("float"))
    spark.createDataFrame(data.collect(), data.schema).write.mode("overwrite").parquet(folder)
    assert refused(FMRegressionModel, saved) == (
        f"{saved} is damaged: found other parameters than those that were saved"
    )


def test_model_beyond_what_the_driver_collects_is_not_called_damaged(saved, monkeypatch):
    monkeypatch.setattr(persistence, "driver_limits", lambda _: {"spark.driver.maxResultSize": 1000})
    found = refused(FMRegressionModel, saved)
    assert "damaged" not in found
    assert "spark.driver.maxResultSize" in found


# Saving over a model.


def fails(*args, **kwargs):
    raise OSError("no space left")


@pytest.mark.parametrize("name", ["write_table", "add_line"])
def test_save_that_fails_leaves_the_old_model(planted_model, rating_model, path, monkeypatch, name):
    planted_model.save(path)
    there = sorted(p.name for p in Path(path).iterdir())
    with monkeypatch.context() as patched:
        patched.setattr(persistence, name, fails)
        with pytest.raises(OSError, match="no space left"):
            rating_model.write().overwrite().save(path)
    assert_same_weights(FMRegressionModel.load(path), planted_model)
    assert sorted(p.name for p in Path(path).iterdir()) == there


def test_what_cannot_be_read_at_the_moment_is_not_taken_for_something_else(
    planted_model, rating_model, path, monkeypatch
):
    planted_model.save(path)

    def unreachable(*args):
        raise PySparkException("the file system does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(persistence, "read_lines", unreachable)
        with pytest.raises(OSError, match="the file system does not answer"):
            rating_model.write().overwrite().save(path)
    assert_same_weights(FMRegressionModel.load(path), planted_model)


def test_save_that_fails_can_be_done_again(planted_model, path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(persistence, "add_line", fails)
        with pytest.raises(OSError, match="no space left"):
            planted_model.save(path)
    planted_model.save(path)
    assert_same_weights(FMRegressionModel.load(path), planted_model)


def test_saves_at_the_same_time_never_mix(planted_model, rating_model, path):
    models = [planted_model, rating_model] * 2
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda model: model.write().overwrite().save(path), models))
    found = FMRegressionModel.load(path)
    assert_same_weights(found, planted_model if found.uid == planted_model.uid else rating_model)
    planted_model.write().overwrite().save(path)
    assert {p.name for p in Path(path).iterdir()} == {"metadata", data_of(path).name}


def test_model_that_is_saved_over_while_it_is_read_is_read_again(
    planted_model, rating_model, path, monkeypatch
):
    planted_model.save(path)
    read = persistence.read_table

    def late(*args):
        monkeypatch.setattr(persistence, "read_table", read)
        rating_model.write().overwrite().save(path)
        return read(*args)

    monkeypatch.setattr(persistence, "read_table", late)
    assert_same_weights(FMRegressionModel.load(path), rating_model)


def test_anything_else_is_replaced_as_pyspark_does(spark, planted_model, path):
    spark.range(3).write.parquet(path)
    planted_model.write().overwrite().save(path)
    assert {p.name for p in Path(path).iterdir()} == {"metadata", data_of(path).name}
    LogisticRegression().write().overwrite().save(path)
    planted_model.write().overwrite().save(path)
    assert_same_weights(FMRegressionModel.load(path), planted_model)


# Models of earlier versions.

GOLDEN = Path(__file__).parent.parent / "data"
MODELS = [FMRegressionModel, FMClassificationModel]


@pytest.mark.parametrize("cls", MODELS)
def test_models_of_the_first_format_load(cls, path):
    folder = GOLDEN / "format-1" / cls.__name__
    model = cls.load(str(folder))
    expected = json.loads((folder / "expected.json").read_text())
    assert [model.predict(ids) for ids in expected["rows"]] == expected["predictions"]
    assert model._raw(expected["rows"][0]) == pytest.approx(expected["raw"], rel=1e-6)
    assert (model.getFactorSize(), model.getMaxIter(), model.hasSummary) == (2, 100, False)
    assert model.fields is None
    shutil.copytree(folder, path)
    model.write().overwrite().save(path)
    assert_same_weights(cls.load(path), model)
    assert not (Path(path) / "data").exists()


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("cls", MODELS)
def test_models_of_later_formats_load(spark, cls, version, path):
    folder = GOLDEN / f"format-{version}" / cls.__name__
    model = cls.load(str(folder))
    expected = json.loads((folder / "expected.json").read_text())
    assert [model.predict(ids) for ids in expected["rows"]] == expected["predictions"]
    assert [model.explain(ids).score for ids in expected["rows"]] == pytest.approx(
        expected["scores"], rel=1e-12
    )
    rows = [(position, ids) for position, ids in enumerate(expected["rows"])]
    scored = model.transform(spark.createDataFrame(rows, "position int, features array<int>")).orderBy(
        "position"
    )
    assert [row.prediction for row in scored.collect()] == pytest.approx(expected["predictions"], rel=1e-12)
    assert (model.getFactorSize(), model.getMaxIter(), model.getInitStd()) == (2, 8, 0.1)
    assert model.summary.bestEpoch == expected["bestEpoch"]
    assert len(model.summary.validationLoss) == model.summary.totalIterations
    if version == 2:
        assert model.fields is None
    else:
        assert [repr(model.explain(ids)) for ids in expected["rows"]] == expected["explanations"]
        found = model.topInteractions(3).strength.tolist()
        assert found == pytest.approx(expected["strengths"], rel=1e-6)
    model.save(path)
    assert_same_weights(cls.load(path), model)


def test_there_are_golden_models_of_every_format():
    newest = {cls.__name__: persistence.FORMAT_VERSION for cls in MODELS} | {"FieldEncoderModel": FORMAT}
    # Encoders have been saved since format 3.
    first = dict.fromkeys(newest, 1) | {"FieldEncoderModel": 3}
    for version in range(1, max(newest.values()) + 1):
        kinds = {name for name in newest if first[name] <= version <= newest[name]}
        assert {folder.name for folder in (GOLDEN / f"format-{version}").iterdir()} == kinds
