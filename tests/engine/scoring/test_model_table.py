import numpy as np
import pyarrow as pa
import pytest

from spark_fm.core.fm.interactions import Moments
from spark_fm.core.fm.weights import Weights
from spark_fm.engine.cluster.broadcast import Shipped
from spark_fm.engine.scoring import model_table as table
from spark_fm.engine.scoring.model_table import (
    COLUMNS,
    LABEL,
    MOMENTS,
    ModelTable,
    _read_rows,
    _write_rows,
    ddl_of,
    read_table,
    write_table,
)


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
    files = [list(_write_rows(starts(first), Shipped(None, ModelTable(model)))) for first in (0, 20, 40)]
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
    found = [
        row
        for b in _read_rows(_write_rows(starts(0), Shipped(None, ModelTable(model))))
        for row in b.to_pylist()
    ]
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


def stored(spark, folder, columns):
    return spark.read.schema(ddl_of(columns)).parquet(str(folder))


@pytest.mark.parametrize("features", [0, 45])
def test_weights_come_back_from_parquet(spark, tmp_path, features):
    model = weights(features)
    write_table(spark, ModelTable(model), str(tmp_path / "data"))
    assert spark.read.parquet(str(tmp_path / "data")).columns == ["feature", "linear", "factors"]
    found = read_table(stored(spark, tmp_path / "data", COLUMNS), 3, 0.5)
    np.testing.assert_array_equal(found.weights.features, model.features)
    np.testing.assert_array_equal(found.weights.linear, model.linear)
    np.testing.assert_array_equal(found.weights.factors, model.factors)
    assert (found.weights.intercept, found.labels, found.moments) == (0.5, None, None)


@pytest.mark.parametrize("features", [0, 45])
def test_names_and_moments_come_back_from_parquet(spark, tmp_path, features):
    labels = [None if i % 3 else f'user=\u00e9 "{i}"' for i in range(features)]
    moments = Moments(*(np.linspace(i, 1, features, dtype=np.float32) for i in range(2)))
    write_table(spark, ModelTable(weights(features), labels, moments), str(tmp_path / "data"))
    columns = [*COLUMNS, *LABEL, *MOMENTS]
    assert spark.read.parquet(str(tmp_path / "data")).columns == columns
    found = read_table(stored(spark, tmp_path / "data", columns), 3, 0.5)
    assert found.labels == labels
    np.testing.assert_array_equal(found.moments.mean, moments.mean)
    np.testing.assert_array_equal(found.moments.root_mean_square, moments.root_mean_square)
