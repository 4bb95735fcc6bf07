import numpy as np
import pyarrow as pa
import pytest

from spark_fm.core.fm.weights import Weights
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.scoring import model_table as table
from spark_fm.engine.scoring.model_table import _read_rows, _write_rows, read_weights, write_weights


def weights(features, factor_size=3):
    random = np.random.default_rng(0)
    return Weights(
        np.arange(features, dtype=np.int64) * 2**33,
        random.standard_normal(features).astype(np.float32),
        random.standard_normal((features, factor_size)).astype(np.float32),
        0.5,
    )


def starts(*ids):
    return iter([pa.RecordBatch.from_pydict({"id": pa.array(ids, pa.int64())})])


@pytest.mark.parametrize("factor_size", [0, 1, 3])
def test_each_file_has_its_rows_in_batches(monkeypatch, factor_size):
    monkeypatch.setattr(table, "ROWS_A_FILE", 20)
    monkeypatch.setattr(table, "ROWS_A_BATCH", 8)
    model = weights(45, factor_size)
    files = [list(_write_rows(starts(first), Shipped(None, model))) for first in (0, 20, 40)]
    assert [[batch.num_rows for batch in file] for file in files] == [[8, 8, 4], [8, 8, 4], [5]]
    rows = [row for file in files for batch in file for row in batch.to_pylist()]
    assert [row["feature"] for row in rows] == model.features.tolist()
    np.testing.assert_array_equal(np.float32([row["linear"] for row in rows]), model.linear)
    np.testing.assert_array_equal(
        np.float32([row["factors"] for row in rows]).reshape(45, factor_size), model.factors
    )


def test_rows_that_were_written_are_read(monkeypatch):
    monkeypatch.setattr(table, "ROWS_A_BATCH", 8)
    model = weights(20)
    found = [row for b in _read_rows(_write_rows(starts(0), Shipped(None, model))) for row in b.to_pylist()]
    for name, expected in [
        ("features", model.features),
        ("linear", model.linear),
        ("factors", model.factors),
    ]:
        assert b"".join(row[name] for row in found) == expected.tobytes()


def test_null_is_refused():
    batch = pa.RecordBatch.from_pydict(
        {"feature": [1, None], "linear": pa.array([1.0, 2.0], pa.float32()), "factors": [[1.0], [2.0]]}
    )
    with pytest.raises(ValueError, match="found a null"):
        list(_read_rows(iter([batch])))


@pytest.mark.parametrize("features", [0, 45])
def test_weights_come_back_from_parquet(spark, tmp_path, features):
    model = weights(features)
    write_weights(spark, model, str(tmp_path / "data"))
    found = read_weights(spark.read.schema(table.DATA_DDL).parquet(str(tmp_path / "data")), 3, 0.5)
    np.testing.assert_array_equal(found.features, model.features)
    np.testing.assert_array_equal(found.linear, model.linear)
    np.testing.assert_array_equal(found.factors, model.factors)
    assert found.intercept == 0.5
