import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from chispa import assert_df_equality
from pyspark.ml.classification import LogisticRegression

from spark_fm import FMClassificationModel, FMClassifier, FMRegressionModel, FMRegressor
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


@pytest.fixture
def saved(template, path):
    """The path of a saved model, to be damaged."""
    shutil.copytree(template, path)
    return path


def change_metadata(path, **changes):
    """Rewrite a saved folder's metadata; a value of None takes the entry out."""
    folder = Path(path) / "metadata"
    (part,) = folder.glob("part-*")
    metadata = json.loads(part.read_text()) | changes
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
    assert not loaded.hasSummary
    with pytest.raises(RuntimeError, match="it was loaded"):
        _ = loaded.summary


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
    data = spark.sql(f"select * from parquet.`{path}/data` order by feature")
    assert [(f.name, f.dataType.simpleString()) for f in data.schema] == [
        ("feature", "bigint"),
        ("linear", "float"),
        ("factors", "array<float>"),
    ]
    rows = data.collect()
    assert [row.feature for row in rows] == rating_model.weights.features.tolist()
    np.testing.assert_array_equal(np.float32([row.factors for row in rows]), rating_model.weights.factors)
    np.testing.assert_array_equal(np.float32([row.linear for row in rows]), rating_model.weights.linear)


def test_metadata_are_json(planted_model, saved):
    (part,) = (Path(saved) / "metadata").glob("part-*")
    metadata = json.loads(part.read_text())
    assert metadata["class"] == "spark_fm.regression.FMRegressionModel"
    assert metadata["formatVersion"] == 1
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
    assert refused(FMRegressionModel, path) == sentence


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


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_other_format_versions_are_refused(saved, version):
    change_metadata(saved, formatVersion=version)
    assert refused(FMRegressionModel, saved) == (
        f"{saved} has the format version {version}, expected 1 to 1; a newer spark_fm may read it"
    )


def test_missing_data_are_refused(saved):
    shutil.rmtree(Path(saved) / "data")
    assert refused(FMRegressionModel, saved) == f"{saved} is damaged: its parameters can't be read"


def test_missing_rows_are_refused(spark, saved):
    data = spark.read.parquet(f"{saved}/data")
    spark.createDataFrame(data.limit(40).collect(), data.schema).write.mode("overwrite").parquet(
        f"{saved}/data"
    )
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
    spark.range(45).selectExpr(*columns).write.mode("overwrite").parquet(f"{saved}/data")
    assert "is damaged" in refused(FMRegressionModel, saved)


def test_damaged_parquet_is_refused(saved):
    for part in (Path(saved) / "data").glob("part-*.parquet"):
        part.write_bytes(b"PAR1 this is no parquet PAR1")
    for checksum in (Path(saved) / "data").glob(".*.crc"):
        checksum.unlink()
    assert refused(FMRegressionModel, saved) == f"{saved} is damaged: its parameters can't be read"


def test_damaged_metadata_are_refused(saved):
    change_metadata(saved, intercept=None)
    assert "is damaged" in refused(FMRegressionModel, saved)
