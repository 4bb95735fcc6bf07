import gc

import pytest

from spark_fm.engine import process
from spark_fm.engine.process import settle, task


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
