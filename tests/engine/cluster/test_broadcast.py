import gc
import pickle
import shutil
import time
import weakref
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pyspark import SparkFiles
from pyspark.errors import PySparkException

from spark_fm.engine.cluster import broadcast as transport
from spark_fm.engine.cluster.broadcast import Shipped, is_connect, ship
from spark_fm.engine.cluster.mapped import to_bytes


def test_classic_session_is_not_connect(spark):
    assert not is_connect(spark)


def test_session_of_a_connect_module_is_connect():
    session = type("SparkSession", (), {"__module__": "pyspark.sql.connect.session"})()
    assert is_connect(session)


def test_workers_read_what_was_shipped(spark):
    shipped = ship(spark, {"answer": 42})

    def read(batches):
        import pyarrow as pa

        for batch in batches:
            found = [shipped.get()["answer"]] * batch.num_rows
            yield pa.RecordBatch.from_arrays([pa.array(found, pa.int64())], ["id"])

    try:
        assert [r.id for r in spark.range(3).mapInArrow(read, "id long").collect()] == [42] * 3
    finally:
        shipped.release()


def test_workers_share_the_arrays_of_what_was_shipped(spark):
    """They are views into a file that all workers of an executor map, and nobody can write to them."""
    shipped = ship(spark, np.arange(100_000))

    def read(batches):
        import mmap

        import pyarrow as pa

        for batch in batches:
            array = shipped.get()
            same, root = array is shipped.get(), array
            while hasattr(root, "base") or isinstance(root, memoryview):
                root = root.obj if isinstance(root, memoryview) else root.base
            found = [same, isinstance(root, mmap.mmap), not array.flags.writeable, int(array[-1]) == 99_999]
            yield pa.RecordBatch.from_arrays([pa.array([str(found)] * batch.num_rows)], ["found"])

    try:
        rows = spark.range(3).mapInArrow(read, "found string").collect()
        assert {row.found for row in rows} == {str([True] * 4)}
    finally:
        shipped.release()


def broadcast_of(value, **attributes):
    return type("Broadcast", (), {"value": to_bytes(value), **attributes})()


def test_without_a_file_the_broadcast_is_loaded():
    """A worker's broadcast has none where Spark encrypts files."""
    assert Shipped(broadcast_of([1, 2]), None).get() == [1, 2]


@pytest.mark.parametrize("content", [None, b"encrypted" * 100])
def test_where_the_file_is_another_the_broadcast_is_loaded(content, tmp_path):
    path = tmp_path / "broadcast"
    if content is not None:
        path.write_bytes(content)
    assert Shipped(broadcast_of([1, 2], _path=str(path)), None).get() == [1, 2]


def test_what_was_read_goes_with_its_broadcast():
    """No worker keeps what Spark has dropped."""
    broadcast = broadcast_of(np.arange(10))
    read = weakref.ref(Shipped(broadcast, None).get())
    assert read() is not None
    del broadcast
    gc.collect()
    assert read() is None


def test_release_destroys_the_broadcast_once():
    class Broadcast:
        value, destroyed = to_bytes(7), 0

        def destroy(self):
            self.destroyed += 1

    broadcast = Broadcast()
    shipped = Shipped(broadcast, None)
    assert shipped.get() == 7
    shipped.release()
    shipped.release()
    assert broadcast.destroyed == 1
    with pytest.raises(AssertionError):
        shipped.get()


class ConnectSession:
    """A Spark Connect session that keeps its artifacts in a folder, where its workers find them."""

    def __init__(self, folder):
        self.folder = folder

    def addArtifacts(self, path, file):
        assert file
        shutil.copy(path, self.folder)


ConnectSession.__module__ = "pyspark.sql.connect.session"


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setattr(SparkFiles, "get", lambda name: str(tmp_path / name))
    transport._value_of_artifact.cache_clear()
    return ConnectSession(tmp_path)


def test_what_is_large_travels_to_connect_as_a_file(session, tmp_path, monkeypatch):
    monkeypatch.setattr(transport, "MOST_IN_A_MESSAGE", 2**20)
    random = np.random.default_rng(0).random(2**18)
    shipped = ship(session, random)
    travels = pickle.dumps(shipped)
    assert len(travels) < 1000
    found = pickle.loads(travels).get()
    np.testing.assert_array_equal(found, random)
    assert not found.flags.writeable
    assert pickle.loads(travels).get() is found
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_small_travels_to_connect_in_the_closure(session, tmp_path, monkeypatch):
    monkeypatch.setattr(transport, "MOST_IN_A_MESSAGE", 2**20)
    assert pickle.loads(pickle.dumps(ship(session, np.arange(10)))).get().sum() == 45
    assert list(tmp_path.iterdir()) == []


def test_a_message_must_hold_what_each_of_its_functions_needs(session, tmp_path, monkeypatch):
    monkeypatch.setattr(transport, "MOST_IN_A_MESSAGE", 2**20)
    array = np.zeros(75_000)
    ship(session, array)
    assert list(tmp_path.iterdir()) == []
    ship(session, array, mentions=2)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_released_artifact_can_not_be_read(session, monkeypatch):
    monkeypatch.setattr(transport, "MOST_IN_A_MESSAGE", 0)
    shipped = ship(session, [1])
    shipped.release()
    with pytest.raises(AssertionError):
        shipped.get()


def test_a_worker_keeps_few_artifacts(session, monkeypatch):
    """Each round has new parameters: those of earlier ones must go."""
    monkeypatch.setattr(transport, "MOST_IN_A_MESSAGE", 0)
    first = weakref.ref(ship(session, np.arange(10)).get())
    assert first() is not None
    for number in range(transport.ARTIFACTS_KEPT):
        ship(session, np.full(10, number)).get()
    gc.collect()
    assert first() is None


def test_what_is_too_large_for_connect_is_told(session, monkeypatch):
    monkeypatch.setattr(transport, "MOST_IN_A_MESSAGE", 2**20)
    monkeypatch.setattr(transport, "MOST_OF_AN_ARTIFACT", 2**21)
    told = "the model takes 3 MiB, the most for Spark Connect is 2; choose a smaller factorSize"
    with pytest.raises(ValueError, match=told):
        ship(session, np.zeros(3 * 2**17))


def test_what_the_server_does_not_take_is_told(session, monkeypatch):
    def refused(self, path, file):
        raise PySparkException("the disk is full\nat somewhere")

    monkeypatch.setattr(transport, "MOST_IN_A_MESSAGE", 0)
    monkeypatch.setattr(ConnectSession, "addArtifacts", refused)
    with pytest.raises(
        ValueError, match="the Spark Connect server took no such file: the disk is full; choose a"
    ):
        ship(session, np.zeros(2**17))


def test_files_of_dropped_objects_are_removed_when_no_dataframe_needs_them(spark):
    def read(batches, shipped):
        for batch in batches:
            assert shipped.get()["answer"] == 42
            yield batch

    def collected() -> None:
        for _ in range(3):
            gc.collect()
            spark._jvm.java.lang.System.gc()
        ship(spark, None).release()

    shipped = ship(spark, {"answer": 42})
    path = Path(shipped._broadcast._path)
    lazy = spark.range(3).mapInArrow(partial(read, shipped=shipped), "id long")
    del shipped
    collected()
    assert path.exists()
    assert lazy.count() == 3
    del lazy
    # Java collects in its own time.
    for _ in range(20):
        collected()
        if not path.exists():
            break
        time.sleep(0.2)
    assert not path.exists()
