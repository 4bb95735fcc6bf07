"""MLflow on a file store: the callback, models logged and loaded, and its autologging, which must do no harm."""

import json
import sys

import mlflow
import pandas as pd
import pytest
from mlflow.models import infer_signature
from pyspark.ml import Pipeline
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder

from spark_fm import FMRegressor, tracking
from spark_fm.feature import FieldEncoder, categorical
from spark_fm.tracking import MLflowCallback
from tests.ml.frames import assert_same_weights

pytestmark = [
    pytest.mark.filterwarnings("ignore:maxIter"),
    pytest.mark.filterwarnings("ignore:.*filesystem:FutureWarning"),
]


@pytest.fixture(autouse=True)
def _store(tmp_path, monkeypatch):
    """An experiment of its own in a file store."""
    # MLflow 3 takes a folder only where it is told to.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    # pyspark takes a process without a main file, as those of xdist are, for a doctest of its own, and ends it.
    monkeypatch.setattr(sys, "ps1", "", raising=False)
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    mlflow.set_experiment("fits")
    yield
    if mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(before)


@pytest.fixture
def estimator():
    return FMRegressor(factorSize=2, maxIter=3, roundsPerEpoch=1, seed=3)


def curve(run_id, name):
    return [metric.value for metric in mlflow.MlflowClient().get_metric_history(run_id, name)]


def children():
    return mlflow.search_runs(filter_string="tags.mlflow.parentRunId != ''", output_format="list")


@pytest.mark.parametrize("partitions", [1, 2])
def test_the_active_run_gets_params_losses_and_the_curve(small, estimator, partitions):
    estimator.setNumPartitions(partitions)
    with mlflow.start_run() as run:
        model = estimator.setCallback(MLflowCallback()).fit(small)
    client, summary = mlflow.MlflowClient(), model.summary
    logged = client.get_run(run.info.run_id)
    assert logged.info.status == "FINISHED"
    assert logged.data.params["factorSize"] == "2"
    assert logged.data.params.keys() == {p.name for p in estimator.extractParamMap()} - {"initialModel"}
    assert curve(run.info.run_id, "trainingLoss") == summary.trainingLoss
    assert curve(run.info.run_id, "validationLoss") == summary.validationLoss
    assert curve(run.info.run_id, "epoch") == [1, 2, 3]
    assert len(curve(run.info.run_id, "epochSeconds")) == (3 if partitions > 1 else 0)
    assert logged.data.metrics["bestEpoch"] == summary.bestEpoch
    assert logged.data.metrics["bestValidationLoss"] == min(summary.validationLoss)
    assert logged.data.metrics["seconds/train"] == summary.seconds["train"]
    assert logged.data.tags["stopReason"] == summary.stopReason
    artifacts = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    assert artifacts == {"summary.json", "learning-curve.png"}
    path = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="summary.json")
    with open(path) as file:
        assert json.load(file) == summary.to_json()


def test_each_fit_of_cross_validation_has_a_run(small, estimator):
    grid = ParamGridBuilder().addGrid(estimator.factorSize, [1, 2]).build()
    with mlflow.start_run():
        tuning = CrossValidator(
            estimator=Pipeline(stages=[estimator.setCallback(MLflowCallback(nested=True))]),
            estimatorParamMaps=grid,
            evaluator=RegressionEvaluator(),
            numFolds=2,
            parallelism=2,
        )
        tuning.fit(small)
    runs = children()
    assert len(runs) == 5
    assert {run.info.status for run in runs} == {"FINISHED"}
    # Two folds, and the best of the two on all rows.
    sizes = "".join(sorted(run.data.params["factorSize"] for run in runs))
    assert sizes in ("11122", "11222")
    assert all(len(curve(run.info.run_id, "trainingLoss")) == 3 for run in runs)


def test_a_run_takes_one_fit(small, estimator):
    with pytest.raises(RuntimeError, match="found no active run"):
        MLflowCallback()
    with mlflow.start_run() as run:
        estimator.setCallback(MLflowCallback()).fit(small)
        with pytest.raises(
            RuntimeError, match=rf"{run.info.run_name} has a fit already, expected nested=True"
        ):
            estimator.fit(small)


def test_a_fit_that_fails_ends_its_run(small, estimator, monkeypatch):
    def fails(self, epoch):
        raise RuntimeError("no more")

    with mlflow.start_run():
        estimator.setCallback(MLflowCallback(nested=True))
        monkeypatch.setattr(tracking._RunOfFit, "epoch", fails)
        with pytest.raises(RuntimeError, match="no more"):
            estimator.fit(small)
    (run,) = children()
    assert run.info.status == "FAILED"


def test_a_run_whose_params_cannot_be_logged_ends_before_training(small, estimator, monkeypatch):
    def refuses(*args, **kwargs):
        raise mlflow.MlflowException("no room")

    with mlflow.start_run():
        estimator.setCallback(MLflowCallback(nested=True))
        monkeypatch.setattr(mlflow.MlflowClient, "log_batch", refuses)
        with pytest.raises(mlflow.MlflowException, match="no room"):
            estimator.fit(small)
    (run,) = children()
    assert run.info.status == "FAILED"


@pytest.mark.parametrize("recovers", [True, False])
def test_a_fit_survives_a_server_that_is_gone(small, estimator, monkeypatch, recovers):
    """What could not be sent in between is sent in the end."""
    log_batch, calls = mlflow.MlflowClient.log_batch, []

    def breaks(self, run_id, metrics=(), **kwargs):
        calls.append(len(metrics))
        if metrics and not (recovers and len(calls) > 2):
            raise mlflow.MlflowException("no connection")
        log_batch(self, run_id, metrics=metrics, **kwargs)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", breaks)
    monkeypatch.setattr(tracking, "SECONDS_BETWEEN", 0.0)
    plain = FMRegressor.copy(estimator).fit(small)
    with mlflow.start_run() as run, pytest.warns(UserWarning, match="lacks some of it: no connection"):
        model = estimator.setCallback(MLflowCallback()).fit(small)
    assert_same_weights(model, plain)
    # The params; the first epoch; after that it isn't tried again until the end.
    assert len(calls) == 3
    assert curve(run.info.run_id, "trainingLoss") == (model.summary.trainingLoss if recovers else [])


def test_metrics_come_while_it_trains_and_in_batches(small, estimator, monkeypatch):
    sizes, log_batch = [], mlflow.MlflowClient.log_batch

    def counted(self, run_id, metrics=(), **kwargs):
        sizes.append(len(metrics))
        log_batch(self, run_id, metrics=metrics, **kwargs)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", counted)
    monkeypatch.setattr(tracking, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(tracking, "MOST_IN_A_BATCH", 2)
    with mlflow.start_run() as run:
        estimator.setCallback(MLflowCallback()).fit(small)
    # No metrics with the params; epoch, trainingLoss and validationLoss of each epoch; then the rest.
    assert sizes[:7] == [0, 2, 1, 2, 1, 2, 1]
    assert max(sizes) == 2
    assert curve(run.info.run_id, "epoch") == [1, 2, 3]


@pytest.fixture(scope="module")
def events(spark):
    rows = [(f"user {u}", f"film {i}", float((u * i) % 7)) for u in range(20) for i in range(10)]
    frame = spark.createDataFrame(rows, "user string, film string, label double").coalesce(1).persist()
    yield frame
    frame.unpersist()


def predictions(model, frame):
    return [row.prediction for row in model.transform(frame).collect()]


def logged(model, signature, example=None):
    """A model logged with mlflow.spark; where it is."""
    with mlflow.start_run():
        return mlflow.spark.log_model(
            model,
            artifact_path="model",
            signature=signature,
            input_example=example,
            pip_requirements=["pyspark"],
        ).model_uri


def test_a_pipeline_model_is_logged_and_loaded(events, estimator):
    encoder = FieldEncoder(fields=[categorical("user"), categorical("film")])
    model = Pipeline(stages=[encoder, estimator]).fit(events)
    rows = events.drop("label").limit(5)
    expected = predictions(model, rows)
    uri = logged(model, infer_signature(rows, model.transform(rows).select("prediction")))
    assert predictions(mlflow.spark.load_model(uri), rows) == expected
    assert mlflow.pyfunc.load_model(uri).predict(rows.toPandas()) == expected


def test_a_bare_model_of_vectors_is_logged_and_loaded(ratings, estimator):
    model, rows = estimator.fit(ratings), ratings.limit(4)
    expected = predictions(model, rows)
    uri = logged(model, infer_signature(rows.select("features"), model.transform(rows).select("prediction")))
    loaded = mlflow.spark.load_model(uri)
    assert predictions(loaded, rows) == expected
    assert_same_weights(loaded.stages[0], model)
    assert loaded.stages[0].summary == model.summary
    dense = pd.DataFrame({"features": [row.features.toArray().tolist() for row in rows.collect()]})
    assert mlflow.pyfunc.load_model(uri).predict(dense) == pytest.approx(expected)


def test_a_bare_model_of_ids_is_logged_and_loaded(small, estimator):
    model, rows = estimator.fit(small), small.limit(4)
    frame = pd.DataFrame({"features": [row.features for row in rows.collect()]})
    uri = logged(model, None, example=frame)
    assert mlflow.pyfunc.load_model(uri).predict(frame) == pytest.approx(predictions(model, rows))


@pytest.fixture
def _autologging():
    mlflow.pyspark.ml.autolog()
    yield
    mlflow.pyspark.ml.autolog(disable=True)


@pytest.mark.usefixtures("_autologging")
def test_autologging_does_no_harm(events, estimator, small):
    with mlflow.start_run():
        model = estimator.setCallback(MLflowCallback()).fit(small)
    mlflow.pyspark.ml.autolog(disable=True)
    plain = FMRegressor(factorSize=2, maxIter=3, roundsPerEpoch=1, seed=3)
    assert_same_weights(model, plain.fit(small))
    mlflow.pyspark.ml.autolog()
    warm = plain.setInitialModel(model).fit(small)
    assert_same_weights(warm, plain.fit(small))
    encoder = FieldEncoder(fields=[categorical("user"), categorical("film")])
    grid = ParamGridBuilder().addGrid(estimator.factorSize, [1, 2]).build()
    with mlflow.start_run():
        tuning = CrossValidator(
            estimator=Pipeline(stages=[encoder, estimator.setCallback(MLflowCallback(nested=True))]),
            estimatorParamMaps=grid,
            evaluator=RegressionEvaluator(),
            numFolds=2,
            parallelism=2,
        )
        assert len(tuning.fit(events).avgMetrics) == 2
    # Our five, and two of the autologging.
    assert len(children()) == 7
    assert all(run.info.status == "FINISHED" for run in mlflow.search_runs(output_format="list"))
