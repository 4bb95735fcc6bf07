import pyarrow as pa
import pytest
from pyspark.errors import PySparkException

from spark_fm.engine.census import InputChangedError
from spark_fm.engine.jobs import (
    BATCH_SIZE,
    collect,
    parallelism,
    persist,
    plain_errors,
    small_batches,
)


@pytest.mark.parametrize("module", ["numba", "numba.core"])
def test_package_missing_on_the_workers_is_told_in_a_sentence(module, monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", "/somewhere/python")
    with (
        pytest.raises(RuntimeError, match=r"workers \(/somewhere/python\) has no package 'numba': install"),
        plain_errors(),
    ):
        raise PySparkException(f"Task failed\nModuleNotFoundError: No module named '{module}'\nat ...")


def test_other_python_version_on_the_workers_is_told_in_a_sentence():
    with pytest.raises(RuntimeError, match="is of another version than the driver's"), plain_errors():
        raise PySparkException("[PYTHON_VERSION_MISMATCH] Python in worker has different version")


def test_other_errors_stay_as_they_are():
    error = PySparkException("disk full")
    with pytest.raises(PySparkException) as found, plain_errors():
        raise error
    assert found.value is error


def test_errors_of_other_kinds_stay_as_they_are():
    with pytest.raises(KeyError), plain_errors():
        raise KeyError("No module named 'x'")


def test_collect_translates_errors(spark):
    def missing(batches):
        import a_package_that_nobody_has  # noqa: F401

        yield from batches

    with pytest.raises(RuntimeError, match="has no package 'a_package_that_nobody_has'"):
        collect(spark.range(1).mapInArrow(missing, "id long"))


def test_errors_of_rdds_are_translated(spark):
    with pytest.raises(RuntimeError, match="has no package 'a_package_that_nobody_has'"), plain_errors():
        spark.sparkContext.parallelize([1]).map(lambda _: __import__("a_package_that_nobody_has")).collect()


SENTENCE = (
    "the input changed between two computations of it: found 3 rows; "
    "write it to a table, or checkpoint it, and fit that"
)


def changed(batches):
    raise InputChangedError("found 3 rows")
    yield from batches


def test_input_that_changed_is_told_in_a_sentence(spark):
    with pytest.raises(RuntimeError, match=f"^{SENTENCE}$"):
        collect(spark.range(1).mapInArrow(changed, "id long"))
    with pytest.raises(RuntimeError, match=f"^{SENTENCE}$"), plain_errors():
        spark.sparkContext.parallelize([1]).mapPartitions(changed).collect()


class Frame:
    def __init__(self, error=None):
        self.error = error

    def persist(self):
        if self.error:
            raise self.error
        return "persisted"


def test_persist_persists():
    assert persist(Frame()) == "persisted"


@pytest.mark.parametrize(
    "text", ["[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE", "PERSIST TABLE is not supported on serverless"]
)
def test_platform_without_caching_computes_again(text):
    frame = Frame(PySparkException(text))
    assert persist(frame) is frame


def test_other_refusals_to_persist_are_raised():
    with pytest.raises(PySparkException, match="no disk"):
        persist(Frame(PySparkException("no disk")))


def test_parallelism_is_that_of_the_session(spark):
    assert parallelism(spark, otherwise=99) == spark.sparkContext.defaultParallelism == 2


def test_parallelism_where_the_session_can_not_tell(monkeypatch):
    monkeypatch.setattr("spark_fm.engine.transport.is_connect", lambda spark: True)
    assert parallelism(None, otherwise=5) == 5
    assert parallelism(None, otherwise=0) == 1


def rows_a_batch(spark):
    """How many rows Spark sends to Python at a time."""

    def sizes(batches):
        for batch in batches:
            yield pa.RecordBatch.from_pylist([{"n": batch.num_rows}])

    return max(row["n"] for row in collect(spark.range(0, 100, 1, 1).mapInArrow(sizes, "n long")))


def test_batches_are_small_within_and_as_before_after(spark):
    before = spark.conf.get(BATCH_SIZE)
    with small_batches(spark):
        assert rows_a_batch(spark) == 4
        with small_batches(spark):
            pass
        assert rows_a_batch(spark) == 4, "whoever leaves first must not put it back for others"
    assert spark.conf.get(BATCH_SIZE) == before
    assert rows_a_batch(spark) == 100


def test_batches_are_as_before_after_an_error(spark):
    before = spark.conf.get(BATCH_SIZE)
    with pytest.raises(KeyError), small_batches(spark):
        raise KeyError("x")
    assert spark.conf.get(BATCH_SIZE) == before
