import gc
import pickle
import time
import weakref
from functools import partial
from pathlib import Path

import numpy as np
import pytest

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


def test_without_a_broadcast_the_value_travels_with_the_task(monkeypatch):
    monkeypatch.setattr(transport, "is_connect", lambda spark: True)
    shipped = ship(None, [1, 2])
    assert pickle.loads(pickle.dumps(shipped)).get() == [1, 2]


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


def test_what_does_not_fit_into_a_message_of_connect_is_told(monkeypatch):
    session = type("SparkSession", (), {"__module__": "pyspark.sql.connect.session"})()
    monkeypatch.setattr(transport, "MOST_OF_A_MESSAGE", 2**20)
    random = np.random.default_rng(0).random(2**18)
    with pytest.raises(ValueError, match="the model takes 2 MiB, a message of Spark Connect holds 1 MiB"):
        ship(session, random)
    # It counts what is left of it after compression.
    assert ship(session, np.zeros(2**18)).get().size == 2**18
    assert ship(session, random[:1000]).get().size == 1000


def test_a_message_must_hold_what_each_of_its_functions_needs(monkeypatch):
    monkeypatch.setattr(transport, "MOST_OF_A_MESSAGE", 2**20)
    session = type("SparkSession", (), {"__module__": "pyspark.sql.connect.session"})()
    random = np.random.default_rng(0).bytes(600 * 2**10)
    assert ship(session, random).get() == random
    with pytest.raises(ValueError, match="the model takes 1 MiB in each of 2 functions, a message of Spark"):
        ship(session, random, mentions=2)


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
