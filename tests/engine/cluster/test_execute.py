import os
import signal
import threading

import pyarrow as pa
import pytest
from pyspark.errors import PySparkException

from spark_fm.engine.cluster.execute import (
    BATCH_SIZE,
    collect,
    persist,
    plain_errors,
    small_batches,
    stoppable,
    task_slots,
    tried_to_persist,
    unpersist,
)
from spark_fm.engine.packing.census import InputChangedError


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
        self.error, self.persisted = error, False

    def unpersist(self):
        self.persist()

    def persist(self):
        if self.error:
            raise self.error
        self.persisted = True


def test_persist_persists():
    frame = Frame()
    assert persist(frame) is frame
    assert frame.persisted
    assert tried_to_persist(Frame())


@pytest.mark.parametrize(
    "text", ["[NOT_SUPPORTED_WITH_SERVERLESS] PERSIST TABLE", "PERSIST TABLE is not supported on serverless"]
)
def test_platform_without_caching_computes_again(text):
    frame = Frame(PySparkException(text))
    assert persist(frame) is frame
    assert not tried_to_persist(frame)
    unpersist(frame)


def test_other_refusals_to_persist_are_raised():
    with pytest.raises(PySparkException, match="no disk"):
        persist(Frame(PySparkException("no disk")))
    with pytest.raises(PySparkException, match="no disk"):
        unpersist(Frame(PySparkException("no disk")))


def test_parallelism_is_that_of_the_session(spark):
    assert task_slots(spark, otherwise=99) == spark.sparkContext.defaultParallelism == 2


def test_parallelism_where_the_session_can_not_tell(monkeypatch):
    monkeypatch.setattr("spark_fm.engine.cluster.broadcast.is_connect", lambda spark: True)
    assert task_slots(None, otherwise=5) == 5
    assert task_slots(None, otherwise=0) == 1


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


class Serverless:
    """A session that neither tells nor changes settings, even where a default is given."""

    @property
    def conf(self):
        return self

    def get(self, key, default):
        raise PySparkException(f"[CONFIG_NOT_AVAILABLE] Configuration {key} is not available")

    def set(self, key, value):
        self.get(key, None)

    def unset(self, key):
        self.get(key, None)


def test_batches_are_as_they_are_where_the_platform_has_no_settings():
    ran = []
    with small_batches(Serverless()):
        ran.append(True)
    assert ran == [True]


class Context:
    """A SparkContext whose jobs run until they are cancelled."""

    def __init__(self):
        self.tags, self.added, self.cancelled = set(), set(), set()
        self.removeJobTag, self.ended = self.tags.remove, threading.Event()

    def addJobTag(self, tag):
        self.tags.add(tag)
        self.added.add(tag)

    def cancelJobsWithTag(self, tag):
        self.cancelled.add(tag)
        self.ended.set()

    def job(self):
        """A job that is interrupted and then ends with the error of a job that was cancelled."""
        os.kill(os.getpid(), signal.SIGINT)
        assert self.ended.wait(60)
        raise PySparkException("Job 1 cancelled")


@pytest.fixture
def handler():
    """Set a handler of SIGINT for a test."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("module", ["signal", "pyspark.context"])
def test_a_stop_cancels_the_jobs_and_is_a_keyboard_interrupt(handler, module):
    def handle(number, frame):
        raise KeyboardInterrupt

    handle.__module__ = module
    handler(handle)
    context = Context()
    with pytest.raises(KeyboardInterrupt), plain_errors(), stoppable(context):
        context.job()
    assert context.cancelled == context.added
    assert not context.tags
    assert signal.getsignal(signal.SIGINT) is handle


def test_a_second_stop_is_raised_at_once(handler):
    handler(signal.default_int_handler)
    after_first, after_second = [], []

    def stop_twice():
        os.kill(os.getpid(), signal.SIGINT)
        after_first.append(True)
        os.kill(os.getpid(), signal.SIGINT)
        after_second.append(True)

    with pytest.raises(KeyboardInterrupt), stoppable(Context()):
        stop_twice()
    assert (after_first, after_second) == ([True], [])


def test_a_stop_that_comes_when_the_job_has_just_ended_is_raised(handler):
    handler(signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), stoppable(Context()):
        os.kill(os.getpid(), signal.SIGINT)


def test_what_a_users_handler_raises_is_raised(handler):
    def handle(number, frame):
        raise TimeoutError("enough")

    handler(handle)
    context = Context()
    with pytest.raises(TimeoutError, match="enough"), plain_errors(), stoppable(context):
        context.job()


def test_a_users_handler_that_raises_nothing_lets_all_run_on(handler):
    seen = []
    handler(lambda number, frame: seen.append(number))
    context = Context()
    with stoppable(context):
        os.kill(os.getpid(), signal.SIGINT)
    assert (seen, context.cancelled) == ([signal.SIGINT], set())


def test_another_cancellation_keeps_its_error(handler):
    handler(signal.default_int_handler)
    with pytest.raises(PySparkException, match="Job 1 cancelled"), stoppable(Context()):
        raise PySparkException("Job 1 cancelled")


def test_other_threads_and_spark_connect_have_no_handler(handler):
    handler(signal.default_int_handler)
    found = []

    def run(context):
        with stoppable(context):
            found.append(signal.getsignal(signal.SIGINT) is signal.default_int_handler)

    run(None)
    thread = threading.Thread(target=run, args=(Context(),))
    thread.start()
    thread.join()
    assert found == [True, True]


def test_results_that_the_driver_may_not_take_are_told():
    said = (
        "Job aborted due to stage failure: Total size of serialized results of 1 tasks (1380.0 MiB) is bigger than "
        "spark.driver.maxResultSize (1024.0 MiB)"
    )
    with (
        pytest.raises(
            ValueError, match=r"sends the driver 1380.0 MiB, spark.driver.maxResultSize is 1024.0 MiB: start"
        ),
        plain_errors(),
    ):
        raise PySparkException(said)
