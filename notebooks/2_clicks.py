# Databricks notebook source
# MAGIC %md
# MAGIC # 2 Clicks: a Pipeline, cross-validation, calibration
# MAGIC Whether somebody clicks on an advertisement depends on who meets which one where. Clicks are rare, and what counts is
# MAGIC the probability: bids are computed from it, so it has to be right and not only in the right order.

# COMMAND ----------

import math
import os
import tempfile

import numpy as np
from IPython.display import Image
from pyspark.ml import Pipeline
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_fm import FMClassifier
from spark_fm.evaluation import FMClassificationEvaluator, plotCalibration
from spark_fm.feature import FieldEncoder, categorical

spark = SparkSession.builder.getOrCreate()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Where from, where to
# MAGIC Widgets on Databricks, environment variables elsewhere. `input` and `output` are tables (`catalog.schema.table`) or
# MAGIC paths of Parquet (`/Volumes/catalog/schema/volume/clicks`). Without an input, clicks are generated.

# COMMAND ----------


def parameter(name, default=""):
    if "dbutils" in globals():
        dbutils.widgets.text(name, default)
        return dbutils.widgets.get(name) or default
    return os.environ.get(f"SPARK_FM_{name.upper()}", default)


folder = tempfile.mkdtemp()
source, output = parameter("input"), parameter("output")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Clicks
# MAGIC An input has the columns user, ad, site and label (1 for a click, 0 for none). The generated clicks know their true
# MAGIC probability, so that we see how near to it a model can come: users, ads and sites each have a level, and some taste for
# MAGIC each other.

# COMMAND ----------

draw = np.random.default_rng(0)
SIZES, ROWS = {"user": 400, "ad": 80, "site": 30}, 24_000
ids = {name: draw.integers(0, size, ROWS) for name, size in SIZES.items()}
level = {name: draw.normal(0, 0.4, size)[ids[name]] for name, size in SIZES.items()}
taste = {name: draw.normal(0, 0.8, (size, 2))[ids[name]] for name, size in SIZES.items()}
z = -1.8 + sum(level.values())
z += (taste["user"] * taste["ad"]).sum(axis=1) + (taste["ad"] * taste["site"]).sum(axis=1)
probability = 1 / (1 + np.exp(-z))
clicked = draw.random(ROWS) < probability

if source:
    clicks = spark.read.parquet(source) if "/" in source else spark.table(source)
else:
    named = [[f"{name} {i}" for i in ids[name].tolist()] for name in SIZES]
    rows = list(zip(*named, clicked.astype(float).tolist(), probability.tolist()))
    clicks = spark.createDataFrame(rows, "user string, ad string, site string, label double, truth double")
train, test = (part.persist() for part in clicks.randomSplit([0.8, 0.2], seed=1))
rate = train.agg(F.avg("label")).first()[0]
print(f"{train.count()} rows train, {test.count()} test; {rate:.1%} are clicks")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Cross-validation
# MAGIC How many factors? 0 is logistic regression. Everything is pyspark.ml's: a Pipeline, a grid, a CrossValidator, which
# MAGIC takes an evaluator of log-loss. The encoder learns its values in each fold from that fold's training rows.

# COMMAND ----------

classifier = FMClassifier(seed=1)
pipeline = Pipeline(stages=[FieldEncoder(fields=[categorical(name) for name in SIZES]), classifier])
grid = ParamGridBuilder().addGrid(classifier.factorSize, [0, 4]).build()
log_loss = FMClassificationEvaluator(metricName="logLoss")
tuning = CrossValidator(
    estimator=pipeline, estimatorParamMaps=grid, evaluator=log_loss, numFolds=3, parallelism=2, seed=1
).fit(train)
for params, found in zip(grid, tuning.avgMetrics):
    print(f"{params[classifier.factorSize]} factors: log-loss {found:.4f} in the folds")
model = tuning.bestModel

# COMMAND ----------

# MAGIC %md
# MAGIC ## On rows that nobody has seen
# MAGIC Beside the best model stand the click rate alone, which is the same for every row, and the true probabilities, which
# MAGIC nobody has outside of a notebook.

# COMMAND ----------

scored = model.transform(test).persist()
clicks_of_test = test.agg(F.avg("label")).first()[0]
results = {
    "the click rate": -clicks_of_test * math.log(rate) - (1 - clicks_of_test) * math.log(1 - rate),
    f"{model.stages[-1].getFactorSize()} factors": log_loss.evaluate(scored),
}
if "truth" in test.columns:
    truth = FMClassificationEvaluator(metricName="logLoss", probabilityCol="truth")
    results["the truth"] = truth.evaluate(test)
for name, found in results.items():
    print(f"{name:15} log-loss {found:.4f}")
auc = FMClassificationEvaluator(metricName="areaUnderROC").evaluate(scored)
print(f"area under ROC  {auc:.3f}")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Is a probability of 0.2 one?
# MAGIC Ten bins of as many test rows each: the mean probability that the model gave, and the part of the rows that were
# MAGIC clicks. On the diagonal the two agree. With some 480 rows a bin, some distance from it is chance.

# COMMAND ----------

calibration = FMClassificationEvaluator(metricName="expectedCalibrationError", numBins=10)
error = calibration.evaluate(scored)
print(f"expected calibration error {error:.4f}")
plotCalibration(calibration.calibrationCurve(scored), f"{folder}/calibration.png")
Image(f"{folder}/calibration.png", width=480)

# COMMAND ----------

if output:
    kept = scored.select(*SIZES, "label", "probability")
    writer = kept.write.mode("overwrite")
    writer.parquet(output) if "/" in output else writer.saveAsTable(output)
scored.orderBy(*SIZES).select(*SIZES, "label", "probability").show(5, truncate=False)
