import io
import pickle
from collections import namedtuple

import numpy as np
import pytest
from pyspark.serializers import ChunkedStream

from spark_fm.engine.cluster.mapped import BYTES_A_LINE, FIRST_IN_PICKLE, map_pickled, of_bytes, to_bytes

Pair = namedtuple("Pair", "large, small")

OBJECTS = {
    "large array": np.arange(100_000.0).reshape(1000, 100),
    "small array": np.arange(7, dtype=np.int16),
    "empty array": np.empty((0, 4), np.float32),
    "array of Fortran's order": np.asfortranarray(np.arange(60_000.0).reshape(300, 200)),
    "every second number": np.arange(60_000.0)[::2],
    "strings": np.array(["a", "bb"], object),
    "several": Pair(np.arange(50_000, dtype=np.int32), np.arange(5.0)),
    "no array": {"answer": 42},
}


def arrays_of(value):
    values = value if isinstance(value, tuple) else [value]
    return [array for array in values if isinstance(array, np.ndarray) and array.dtype != object]


@pytest.fixture
def written(tmp_path):
    def write(value):
        path = tmp_path / "broadcast"
        path.write_bytes(pickle.dumps(value, protocol=5))
        return str(path)

    return write


def assert_same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_array_equal(found, expected)
    elif isinstance(expected, Pair):
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert found == expected


@pytest.mark.parametrize("name", OBJECTS)
def test_object_comes_back(name, written):
    value = OBJECTS[name]
    assert_same(of_bytes(to_bytes(value)), value)
    assert_same(map_pickled(written(to_bytes(value))), value)


@pytest.mark.parametrize("name", ["large array", "array of Fortran's order", "several"])
def test_arrays_begin_with_a_cache_line_and_are_read_only(name, written):
    for found in (of_bytes(to_bytes(OBJECTS[name])), map_pickled(written(to_bytes(OBJECTS[name])))):
        for array in arrays_of(found):
            assert not array.flags.writeable
            assert array.flags.aligned
    for array in arrays_of(map_pickled(written(to_bytes(OBJECTS[name])))):
        assert array.ctypes.data % BYTES_A_LINE == 0


def test_arrays_of_a_file_are_views_into_it(written):
    """What is written into the file shows in the array."""
    data = to_bytes(np.zeros(100_000))
    path = written(data)
    found = map_pickled(path)
    with open(path, "r+b") as file:
        file.seek(FIRST_IN_PICKLE + len(data) - 8)
        file.write(np.float64(7.0).tobytes())
    assert found[-2:].tolist() == [0.0, 7.0]


def test_spark_can_encrypt_them():
    """Its stream asks for the length of what a pickle writes; that of a large array has none."""
    value, sent = np.arange(100_000), io.BytesIO()
    pickle.dump(to_bytes(value), ChunkedStream(sent, 1024), protocol=5)
    assert len(sent.getvalue()) > value.nbytes


def test_deleted_file_stays_readable(written, tmp_path):
    found = map_pickled(written(to_bytes(np.arange(100_000))))
    (tmp_path / "broadcast").unlink()
    assert found.sum() == 99_999 * 50_000


def test_other_files_are_refused(written):
    with pytest.raises(ValueError, match="found no object whose arrays can be mapped"):
        map_pickled(written(bytearray(100)))


def test_other_bytes_are_refused():
    with pytest.raises(ValueError, match="expected b'FMOBJECT'"):
        of_bytes(bytearray(100))


def test_bytes_that_end_too_early_are_refused():
    data = to_bytes(np.zeros(100))
    with pytest.raises(ValueError, match=f"found {len(data) - 1} bytes of an object, expected {len(data)}"):
        of_bytes(data[:-1])
