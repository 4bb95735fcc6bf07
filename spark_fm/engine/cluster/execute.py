"""Running Spark jobs so that what goes wrong on an executor reaches the user as one sentence."""

import os
import re
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from types import FrameType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from spark_fm.engine.cluster.broadcast import context_of

if TYPE_CHECKING:
    from pyspark import SparkContext

# pyspark-client, which knows Spark Connect only, has no py4j.
JOB_ERRORS: tuple[type[Exception], ...] = (PySparkException,)
with suppress(ImportError):
    from py4j.protocol import Py4JJavaError

    JOB_ERRORS = (PySparkException, Py4JJavaError)

BATCH_SIZE = "spark.sql.execution.arrow.maxRecordsPerBatch"
ROWS_A_BATCH = 4
PERSIST_REFUSED = ("NOT_SUPPORTED_WITH_SERVERLESS", "PERSIST TABLE is not supported")
# What the names of folders begin with that have what a fit keeps (spark_fm.engine.cluster.kept).
KEPT = "spark_fm-kept-"
TOO_LARGE = re.compile(
    r"serialized results .*?\((\S+ \w+)\) is bigger than spark.driver.maxResultSize \((.+?)\)"
)
FILE_LOST = re.compile(r"(?:FAILED_READ_FILE|PATH_NOT_FOUND|FileNotFound|NoSuchFile|does not exist)")
SECONDS_BETWEEN_CANCELS, SECONDS_TO_CANCEL = 0.1, 10.0


WORKERS_MEMORY = "spark.executor.pyspark.memory"
# What loading numpy and numba, and reading rows, come to where a process may have no more memory.
WANT_OF_MEMORY = (
    "MemoryError",
    "Cannot allocate memory",
    "failed to map segment from shared object",
    "Could not find/load shared object file",
    "malloc of size",
    "Python worker exited unexpectedly (crashed)",
)


@contextmanager
def plain_errors(context: "SparkContext | None" = None) -> Iterator[None]:
    """Translate the errors of a Spark job that a user can mend into one sentence.

    Raises
    ------
    RuntimeError
        When the Python on the workers lacks a package, is of another version than the driver's, or has less memory
        than it needs by a setting of the ``context``; when the input changed between two computations; when a file
        that the fit keeps is lost or can't be read.
    ValueError
        With the sentence of a :class:`spark_fm.engine.cluster.worker_process.RefusedError`; when a job's results are
        more than Spark's settings let the driver take.
    """
    try:
        yield
    except JOB_ERRORS as error:
        text = str(error)
        changed = re.search(r"InputChangedError: (.+)", text)
        if changed:
            raise RuntimeError(changed.group(1).strip()) from None
        refused = re.search(r"RefusedError: (.+)", text)
        if refused:
            raise ValueError(refused.group(1).strip()) from None
        most = None if context is None else context.getConf().get(WORKERS_MEMORY)
        if most and any(sign in text for sign in WANT_OF_MEMORY):
            raise RuntimeError(
                f"the workers' Python ran out of memory: {WORKERS_MEMORY} is {most}, which the tasks of an executor "
                "share, expected more of it (some 700 MB a task and the data), or none of it set"
            ) from None
        large = TOO_LARGE.search(text)
        if large:
            sent, most = large.groups()
            raise ValueError(
                f"a job sends the driver {sent}, spark.driver.maxResultSize is {most}: start Spark, or its Connect "
                "server, with a larger one, choose a smaller factorSize, or hash into fewer features"
            ) from None
        kept = re.search(rf"[^\s'\"`]*{KEPT}[^\s'\"`]*", text)
        if kept and FILE_LOST.search(text):
            raise RuntimeError(
                f"cacheDir: {kept.group(0).rstrip('.,')} is lost or can't be read, expected that nothing but this fit "
                "touches what it keeps there"
            ) from None
        missing = re.search(r"No module named '([^']+)'", text)
        worker = os.environ.get("PYSPARK_PYTHON", "python3")
        if missing:
            package = missing.group(1).split(".")[0]
            raise RuntimeError(
                f"the Python on the workers ({worker}) has no package {package!r}: install spark_fm there, "
                "or set PYSPARK_PYTHON to a Python that has it"
            ) from None
        if "PYTHON_VERSION_MISMATCH" in text:
            raise RuntimeError(
                f"the Python on the workers ({worker}) is of another version than the driver's: set "
                "PYSPARK_PYTHON and PYSPARK_DRIVER_PYTHON to the same one"
            ) from None
        raise


@contextmanager
def stoppable(context: "SparkContext | None") -> Iterator[None]:
    """Within it, Ctrl-C ends the Spark jobs of this thread and arrives as what it is, a KeyboardInterrupt.

    pyspark's own handler of SIGINT can't do that while Python waits for the JVM: its call to cancel takes the
    connection that is busy, so the job runs on; and where Python waits for the end of ``toArrow``, the job's error
    takes the place of the KeyboardInterrupt. Here a thread with a connection of its own cancels the jobs begun within,
    which a tag marks. The KeyboardInterrupt is raised when they have ended (a second Ctrl-C is raised at once):
    raised within py4j it would break connections, those of other threads too.

    So a user's stop is what came as a signal, whatever the job's error is; a job that is cancelled otherwise keeps its
    error. A handler that the user has set is asked first: what it raises is raised in the end, and if it raises
    nothing all runs on. Without a context (Spark Connect) the client itself interrupts what it runs.
    """
    before = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if context is None or not in_main_thread or not callable(before):
        yield
        return
    is_pysparks = getattr(before, "__module__", "").startswith("pyspark.")
    ask = signal.default_int_handler if is_pysparks else before
    tag = f"spark_fm-{uuid.uuid4().hex}"
    ended = threading.Event()
    cancelling = threading.Thread(target=_cancel_until, args=(ended, context, tag), daemon=True)
    stops: list[BaseException] = []

    def stop(number: int, frame: FrameType | None) -> None:
        try:
            ask(number, frame)
        except BaseException as error:
            if stops:
                raise
            stops.append(error)
            cancelling.start()

    context.addJobTag(tag)
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    except BaseException:
        if not stops:
            raise
    finally:
        signal.signal(signal.SIGINT, before)
        context.removeJobTag(tag)
        if stops:
            ended.set()
            cancelling.join(SECONDS_TO_CANCEL)
    if stops:
        raise stops[0]


def _cancel_until(ended: threading.Event, context: "SparkContext", tag: str) -> None:
    """Cancel the jobs with a tag, again and again: one that is about to begin is not yet there to be cancelled."""
    while not ended.is_set():
        context.cancelJobsWithTag(tag)
        ended.wait(SECONDS_BETWEEN_CANCELS)


def collect(dataset: DataFrame) -> list[dict[str, Any]]:
    """All rows of a DataFrame on the driver (:func:`plain_errors` applies)."""
    return [row for batch in collect_batches(dataset) for row in batch.to_pylist()]


_sizes_lock = Lock()
_sizes_before: dict[SparkSession, tuple[int, str | None]] = {}


@contextmanager
def small_batches(spark: SparkSession) -> Iterator[None]:
    """Within it, Spark sends the rows of a partition to Python a few at a time.

    A row of ours is a block of thousands of the user's. Spark's 10,000 rows at a time would make one
    batch of a whole partition: no row is trained on before all have arrived, and copying batches that large takes
    twice as long. The setting is the session's; the last to leave puts it back.
    """
    with _sizes_lock:
        users, before = _sizes_before.get(spark, (0, _batch_size(spark)))
        _sizes_before[spark] = (users + 1, before)
        _set_or_leave(spark, str(ROWS_A_BATCH))
    try:
        yield
    finally:
        with _sizes_lock:
            users, before = _sizes_before.pop(spark)
            if users > 1:
                _sizes_before[spark] = (users - 1, before)
            else:
                _set_or_leave(spark, before)


def _batch_size(spark: SparkSession) -> str | None:
    """The session's setting; None where it is not set, or where the platform does not tell (serverless)."""
    with suppress(PySparkException):
        return spark.conf.get(BATCH_SIZE, None)
    return None


def _set_or_leave(spark: SparkSession, value: str | None) -> None:
    """Some platforms let nobody change settings: then batches are as large as they are."""
    with suppress(PySparkException):
        if value is None:
            spark.conf.unset(BATCH_SIZE)
        else:
            spark.conf.set(BATCH_SIZE, value)


def collect_batches(dataset: DataFrame) -> list[pa.RecordBatch]:
    """All rows of a DataFrame on the driver (:func:`plain_errors` applies), in Arrow form.

    Spark sends them in that form from 4.0 on: for large binary values that takes a fifth of the time.
    """
    context = context_of(dataset.sparkSession)
    with plain_errors(context), stoppable(context):
        if hasattr(dataset, "toArrow"):
            batches: list[pa.RecordBatch] = dataset.toArrow().to_batches()
            return batches
        rows = [row.asDict() for row in dataset.collect()]
        return [pa.RecordBatch.from_pylist(rows)] if rows else []


def persist(dataset: DataFrame) -> DataFrame:
    """Persist a DataFrame; where the platform has no caching, it is computed again for each job."""
    tried_to_persist(dataset)
    return dataset


def tried_to_persist(dataset: DataFrame) -> bool:
    """Persist a DataFrame; whether the platform has caching."""
    with _where_there_is_caching():
        dataset.persist()
        return True
    return False


def unpersist(dataset: DataFrame) -> None:
    """Give back the memory of a DataFrame that :func:`persist` was called with."""
    with _where_there_is_caching():
        dataset.unpersist()


@contextmanager
def _where_there_is_caching() -> Iterator[None]:
    try:
        yield
    except PySparkException as error:
        if not any(sign in str(error) for sign in PERSIST_REFUSED):
            raise


def task_slots(spark: SparkSession, otherwise: int) -> int:
    """How many tasks can run at once; ``otherwise`` where the session can't tell (Spark Connect)."""
    context = context_of(spark)
    return max(1, otherwise if context is None else context.defaultParallelism)
