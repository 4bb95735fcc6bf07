# Databricks notebook source
# MAGIC %md
# MAGIC # Factorization Machines on Spark: a first model
# MAGIC A Databricks notebook in source form (import it into a workspace, or run it as plain Python). On Databricks, first
# MAGIC `%pip install` the wheel of `spark_fm`; pyspark is there already.

# COMMAND ----------

from pyspark.ml import Pipeline
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_fm.regression import FMRegressor

spark = SparkSession.builder.getOrCreate()

# COMMAND ----------

# MAGIC %md
# MAGIC Ratings of 60 users for 40 items. What a user likes depends on both: neither has a bias that would tell.

# COMMAND ----------

user, item = F.col("id") % 60, F.floor(F.col("id") / 60)
ratings = spark.range(60 * 40).select(
    user.cast("string").alias("user"),
    item.cast("string").alias("item"),
    (3 + 2 * F.sin(user * 0.7) * F.cos(item * 1.3) + 0.3 * F.randn(seed=1)).alias("label"),
)
train, test = ratings.randomSplit([0.8, 0.2], seed=2)

# COMMAND ----------

encoders = [
    StringIndexer(inputCols=["user", "item"], outputCols=["u", "i"], handleInvalid="keep"),
    OneHotEncoder(inputCols=["u", "i"], outputCols=["user_vector", "item_vector"]),
    VectorAssembler(inputCols=["user_vector", "item_vector"], outputCol="features"),
]
model = Pipeline(stages=[*encoders, FMRegressor(factorSize=4, seed=1)]).fit(train)

# COMMAND ----------

scored = model.transform(test)
rmse = RegressionEvaluator().evaluate(scored)
scored.select("user", "item", "label", "prediction").show(5)
print(f"RMSE {rmse:.3f} on labels with noise of 0.3")

# COMMAND ----------

summary = model.stages[-1].summary
print(f"best epoch {summary.bestEpoch} of {summary.totalIterations}, stopped by {summary.stopReason}")
