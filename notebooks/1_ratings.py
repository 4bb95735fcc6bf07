# Databricks notebook source
# MAGIC %md
# MAGIC # 1 Ratings: a first model
# MAGIC What a user thinks of a film depends on both. This notebook trains a Factorization Machine on ratings, says how good
# MAGIC it is and why it predicts what it does, recommends films, and saves the model.
# MAGIC
# MAGIC A Databricks notebook in source form: import it into a workspace, or run it as plain Python. On Databricks, first
# MAGIC `%pip install` the wheel of `spark_fm`; pyspark is there already.

# COMMAND ----------

import os
import tempfile

from IPython.display import Image
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_fm import FMRegressor
from spark_fm.feature import FieldEncoder, categorical
from spark_fm.recommendation import Recommender

spark = SparkSession.builder.getOrCreate()

# COMMAND ----------

# MAGIC %md
# MAGIC ## Where from, where to
# MAGIC Widgets on Databricks, environment variables elsewhere. `input` and `output` are tables (`catalog.schema.table`) or
# MAGIC paths of Parquet (`/Volumes/catalog/schema/volume/ratings`); `model` is a path, on Databricks of a volume. Without an
# MAGIC input, ratings are generated; without an output, predictions are only shown.

# COMMAND ----------


def parameter(name, default=""):
    if "dbutils" in globals():
        dbutils.widgets.text(name, default)
        return dbutils.widgets.get(name) or default
    return os.environ.get(f"SPARK_FM_{name.upper()}", default)


folder = tempfile.mkdtemp()
source, output = parameter("input"), parameter("output")
model_path = parameter("model", f"{folder}/model")

# COMMAND ----------

# MAGIC %md
# MAGIC ## Ratings
# MAGIC An input has the columns user, film and rating. The generated ones are of 60 users for 40 films; neither has a level
# MAGIC of its own that would tell anything, and the noise is 0.3.

# COMMAND ----------

user, film = F.col("id") % 60, F.floor(F.col("id") / 60)
if source:
    ratings = spark.read.parquet(source) if "/" in source else spark.table(source)
else:
    ratings = spark.range(0, 60 * 40, numPartitions=2).select(
        F.concat(F.lit("user "), user).alias("user"),
        F.concat(F.lit("film "), film).alias("film"),
        F.round(3 + 2 * F.sin(0.7 * user) * F.cos(1.3 * film) + 0.3 * F.randn(1), 1).alias("rating"),
    )
train, test = ratings.randomSplit([0.8, 0.2], seed=2)
print(f"{train.count()} ratings train, {test.count()} test")

# COMMAND ----------

# MAGIC %md
# MAGIC ## The model
# MAGIC `FieldEncoder` numbers the values of the columns, and `FMRegressor` learns a weight and a vector of four factors for
# MAGIC each. With 0 factors it is a linear model, which learns nothing from the names alone.

# COMMAND ----------

encoder = FieldEncoder(fields=[categorical("user"), categorical("film")])
rmse = {}
for factors in (0, 4):
    estimator = FMRegressor(labelCol="rating", factorSize=factors, seed=1)
    model = Pipeline(stages=[encoder, estimator]).fit(train)
    rmse[factors] = RegressionEvaluator(labelCol="rating").evaluate(model.transform(test))
    print(f"{factors} factors: RMSE {rmse[factors]:.2f}")

# COMMAND ----------

# MAGIC %md
# MAGIC Training held out some of the rows by itself. Their loss decided when to stop, and which epoch's parameters to keep;
# MAGIC then the model was trained that long on all rows.

# COMMAND ----------

summary = model.stages[-1].summary
print(f"best epoch {summary.bestEpoch} of {summary.totalIterations}, stopped by {summary.stopReason}")
summary.plot(f"{folder}/learning-curve.png")
Image(f"{folder}/learning-curve.png", width=560)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Why?
# MAGIC A prediction is a sum, so its parts are reasons. Here the pair of user and film says nearly all.

# COMMAND ----------

encoded = model.stages[0].transform(test)
row = encoded.orderBy(F.desc("rating"), "user", "film").first()
explanation = model.stages[-1].explain(row["features"])
explanation.plot(f"{folder}/explanation.png")
print(explanation)
Image(f"{folder}/explanation.png", width=560)

# COMMAND ----------

# MAGIC %md
# MAGIC ## What to recommend
# MAGIC The best films for each user, of those that the user has not rated, exactly and without a row for each pair.

# COMMAND ----------

users, films = ratings.select("user").distinct(), ratings.select("film").distinct()
recommender = Recommender(model, users, films, userCol="user", itemCol="film")
recommender.recommend(users, 3, exclude=train.select("user", "film")).orderBy("user").show(5, truncate=False)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Save, load, score
# MAGIC A saved model is plain JSON and Parquet.

# COMMAND ----------

model.write().overwrite().save(model_path)
scored = PipelineModel.load(model_path).transform(test).select("user", "film", "rating", "prediction")
if output:
    writer = scored.write.mode("overwrite")
    writer.parquet(output) if "/" in output else writer.saveAsTable(output)
scored.orderBy("user", "film").show(5)
