"""In a process of its own, because it stops Spark."""

import subprocess
import sys
from textwrap import dedent

SCRIPT = """
from pyspark.sql import SparkSession
from spark_fm import FMRegressor

def session():
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    return builder.getOrCreate()

def rows(spark):
    made = [(float(i % 5), [i % 7, 10 + i % 3]) for i in range(60)]
    return spark.createDataFrame(made, "label double, features array<int>")

first = session()
model = FMRegressor(maxIter=2).fit(rows(first))
before = model.transform(rows(first)).collect()
first.stop()
assert model.transform(rows(session())).collect() == before
"""


def test_model_scores_in_the_application_after_the_one_that_trained_it():
    ran = subprocess.run([sys.executable, "-c", dedent(SCRIPT)], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-2000:]
