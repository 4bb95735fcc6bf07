import pytest
from pyspark.sql import functions as F

from spark_fm.engine.cluster.hashing import ints_by_partition, spark_hash


def test_the_hash_is_sparks(spark):
    values = [0, 1, 2, 42, 1000, 2**31 - 1]
    frame = spark.createDataFrame([(v,) for v in values], "v int").select("v", F.hash("v").alias("h"))
    assert {row.v: row.h for row in frame.collect()} == {v: spark_hash(v) for v in values}


@pytest.mark.parametrize("partitions", [1, 2, 7, 64])
def test_each_partition_gets_its_int(spark, partitions):
    ints = ints_by_partition(partitions)
    assert len(set(ints)) == partitions
    frame = spark.createDataFrame([(v,) for v in ints], "v int").repartition(partitions, "v")
    found = {row.v: row.at for row in frame.select("v", F.spark_partition_id().alias("at")).collect()}
    assert found == {v: partition for partition, v in enumerate(ints)}
