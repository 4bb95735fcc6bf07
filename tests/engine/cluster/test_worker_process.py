import gc

import numpy as np
import pytest

from spark_fm.core.fm.table import TAIL, padded
from spark_fm.engine.cluster import worker_process as process
from spark_fm.engine.cluster.worker_process import settle, task


@pytest.fixture
def freezes(monkeypatch):
    """How often the garbage collector was frozen."""
    seen = []
    monkeypatch.setattr(process, "_settled", set())
    monkeypatch.setattr(gc, "freeze", lambda: seen.append("frozen"))
    return seen


def test_process_is_settled_once_for_each_kind_of_task(freezes):
    for name in ("pack", "pack", "run_round", "pack"):
        settle(name)
    assert len(freezes) == 2


def test_task_gives_what_its_function_gives_and_settles_after_it(freezes):
    @task
    def double(batches, by):
        """Doc."""
        for batch in batches:
            assert not freezes
            yield batch * by

    assert list(double(iter([1, 2]), by=2)) == [2, 4]
    assert freezes == ["frozen"]
    assert double.__doc__ == "Doc."


@pytest.fixture
def no_tables(monkeypatch):
    monkeypatch.setattr(process, "_tables", {})


def test_tables_have_the_size_that_is_asked_for(no_tables):
    for rows, factor_size in [(3, 4), (5, 4), (2, 17), (0, 4)]:
        table = process.table_of("a", rows, factor_size)
        assert (table.shape, table.dtype) == ((rows, padded(factor_size) + TAIL), np.float32)
        assert table.flags.c_contiguous
        table[:] = 1.0


@pytest.mark.parametrize("rows", [10, 8, 5])
def test_next_table_is_where_the_last_was(no_tables, rows):
    first = process.table_of("a", 10, 3)
    assert np.shares_memory(first, process.table_of("a", rows, 3))


@pytest.mark.parametrize(("name", "rows"), [("b", 10), ("a", 11), ("a", 4)])
def test_other_larger_and_much_smaller_tables_are_elsewhere(no_tables, name, rows):
    first = process.table_of("a", 10, 3)
    assert not np.shares_memory(first, process.table_of(name, rows, 3))


def test_next_table_of_another_width_is_elsewhere(no_tables):
    first = process.table_of("a", 10, 8)
    assert not np.shares_memory(first, process.table_of("a", 10, 9))
