# Databricks notebook source
# MAGIC %md
# MAGIC # 4 MLflow: follow fits, keep models
# MAGIC `MLflowCallback` writes the params, the losses by epoch and the learning curve of each fit into an MLflow run, while it
# MAGIC trains. MLflow's own `mlflow.spark` logs and loads the models. Outside of Databricks: `pip install 'spark_fm[mlflow]'`.

# COMMAND ----------

import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import mlflow
from mlflow.models import infer_signature
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.utils import is_remote

from spark_fm import FMRegressor
from spark_fm.feature import FieldEncoder, categorical
from spark_fm.tracking import MLflowCallback

spark = SparkSession.builder.getOrCreate()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Where from, where to
# MAGIC Widgets on Databricks, environment variables elsewhere. `input` is a table (`catalog.schema.table`) or a path of Parquet
# MAGIC (`/Volumes/catalog/schema/volume/ratings`) with the columns user, film and rating; without one, ratings are generated.
# MAGIC `tracking` is an MLflow server's address. On Databricks the workspace has its own; elsewhere runs go to a folder.

# COMMAND ----------


def parameter(name, default=""):
    if "dbutils" in globals():
        dbutils.widgets.text(name, default)
        return dbutils.widgets.get(name) or default
    return os.environ.get(f"SPARK_FM_{name.upper()}", default)


source, tracking = parameter("input"), parameter("tracking")
if "dbutils" not in globals():
    # MLflow 3 takes a folder for its runs only where it is told to.
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    tracking = tracking or Path(tempfile.mkdtemp(), "runs").as_uri()
if tracking:
    mlflow.set_tracking_uri(tracking)
    mlflow.set_experiment("spark_fm")

# COMMAND ----------

if source:
    ratings = spark.read.parquet(source) if "/" in source else spark.table(source)
else:
    user, film = F.col("id") % 60, F.floor(F.col("id") / 60)
    ratings = spark.range(0, 60 * 40, numPartitions=2).select(
        F.concat(F.lit("user "), user).alias("user"),
        F.concat(F.lit("film "), film).alias("film"),
        F.round(3 + 2 * F.sin(0.7 * user) * F.cos(1.3 * film) + 0.3 * F.randn(1), 1).alias("rating"),
    )
train, test = (part.persist() for part in ratings.randomSplit([0.8, 0.2], seed=2))

# COMMAND ----------

# MAGIC %md
# MAGIC ## One fit, one run
# MAGIC The callback is no param: copies of the estimator have it, so that Pipelines take it along; it isn't saved.

# COMMAND ----------

encoder = FieldEncoder(fields=[categorical("user"), categorical("film")])
with mlflow.start_run(run_name="four factors") as run:
    estimator = FMRegressor(labelCol="rating", factorSize=4, seed=1).setCallback(MLflowCallback())
    model = Pipeline(stages=[encoder, estimator]).fit(train)
    rmse = RegressionEvaluator(labelCol="rating").evaluate(model.transform(test))
    mlflow.log_metric("testRMSE", rmse)

client = mlflow.MlflowClient()
logged = client.get_run(run.info.run_id)
for name in ("trainingLoss", "validationLoss", "bestEpoch", "testRMSE"):
    print(f"{name:15} {logged.data.metrics[name]:.4g}")
print("stopped by", logged.data.tags["stopReason"])
print("artifacts:", ", ".join(artifact.path for artifact in client.list_artifacts(run.info.run_id)))

# COMMAND ----------

figure, axes = plt.subplots(figsize=(7, 3.8), layout="constrained")
for name in ("trainingLoss", "validationLoss"):
    history = client.get_metric_history(run.info.run_id, name)
    axes.plot([metric.step for metric in history], [metric.value for metric in history], marker="o", markersize=3, label=name)
axes.set(xlabel="step", ylabel="mean squared error", title="What MLflow has of the fit")
axes.legend()
plt.show()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Cross-validation: a run for each fit
# MAGIC `MLflowCallback(nested=True)` gives each fit a run of its own below the one that is active, whatever threads they are in.
# MAGIC There are two folds of two settings, and at the end the best setting on all training rows.

# COMMAND ----------

with mlflow.start_run(run_name="how many factors?") as parent:
    estimator = FMRegressor(labelCol="rating", seed=1).setCallback(MLflowCallback(nested=True))
    tuning = CrossValidator(
        estimator=Pipeline(stages=[encoder, estimator]),
        estimatorParamMaps=ParamGridBuilder().addGrid(estimator.factorSize, [2, 4]).build(),
        evaluator=RegressionEvaluator(labelCol="rating"),
        numFolds=2, parallelism=2, seed=1,
    ).fit(train)

experiment = parent.info.experiment_id
fits = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
for fit in sorted(fits, key=lambda fit: (fit.data.params["factorSize"], fit.info.start_time)):
    epoch, loss = fit.data.metrics["bestEpoch"], fit.data.metrics["bestValidationLoss"]
    print(f"factorSize {fit.data.params['factorSize']}: best epoch {epoch:2.0f}, validation loss {loss:.3f}")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Keep the model
# MAGIC `mlflow.spark` logs a PipelineModel, or a bare model as a pipeline of one stage. Give it a signature: what is loaded as a
# MAGIC Python function checks its input by it. `pip_requirements` names what scoring needs; without it MLflow loads the model once
# MAGIC to find out. On Databricks with serverless or standard access mode the widget `volume` names a folder in a volume, by which
# MAGIC models go. Elsewhere MLflow reaches Spark's file systems through the JVM, which Spark Connect has not: there models are
# MAGIC saved as ever.

# COMMAND ----------

rows = test.drop("rating").orderBy("user", "film").limit(3)
expected = [round(row.prediction, 6) for row in model.transform(rows).collect()]
print("the model      ", expected)
volume = parameter("volume")
if is_remote() and not volume:
    folder = tempfile.mkdtemp()
    model.save(f"{folder}/model")
    loaded = PipelineModel.load(f"{folder}/model")
    print("saved, loaded  ", [round(row.prediction, 6) for row in loaded.transform(rows).collect()])
else:
    with mlflow.start_run(run_id=run.info.run_id):
        signature = infer_signature(rows, model.transform(rows).select("prediction"))
        info = mlflow.spark.log_model(
            model, artifact_path="model", signature=signature, dfs_tmpdir=volume or None,
            pip_requirements=["pyspark", "spark_fm"],
        )
    loaded = mlflow.spark.load_model(info.model_uri, dfs_tmpdir=volume or None)
    print("loaded         ", [round(row.prediction, 6) for row in loaded.transform(rows).collect()])
    function = mlflow.pyfunc.load_model(info.model_uri)
    print("Python function", [round(found, 6) for found in function.predict(rows.toPandas())])
