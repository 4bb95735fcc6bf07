"""The worker processes that Spark reuses from task to task."""

import gc
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_fm.core.fm.table import aligned_table, columns_of

Task = Callable[..., Iterator[pa.RecordBatch]]

_settled: set[str] = set()
_tables: dict[str, npt.NDArray[np.float32]] = {}


class RefusedError(ValueError):
    """What a task can't do with the data that it has; its text is the sentence that the user reads."""


def table_of(name: str, rows: int, factor_size: int) -> npt.NDArray[np.float32]:
    """An uninitialised table, float32 (rows, K' + 8), in the memory of the process's last one of that name if it fits.

    A round needs as much memory as the one before: memory fresh from the system is slow when it is first written to.
    """
    kept = _tables.get(name)
    if kept is None or kept.shape[1] != columns_of(factor_size) or not rows <= kept.shape[0] <= 2 * rows:
        kept = _tables[name] = aligned_table(rows, factor_size)
    return kept[:rows]


def settle(name: str) -> None:
    """Take what the process has loaded out of the garbage collector's sight, once per kind of task.

    Spark's Python daemon collects garbage after every task. With numba and its compiled functions loaded that
    walks some hundred thousand objects, a tenth of a second, which is more than a small task itself takes.
    """
    if name not in _settled:
        _settled.add(name)
        gc.collect()
        gc.freeze()


def task(function: Task) -> Task:
    """Mark a mapInArrow function: its process is settled after its first run."""

    @wraps(function)
    def settled(*args: Any, **kwargs: Any) -> Iterator[pa.RecordBatch]:
        yield from function(*args, **kwargs)
        settle(function.__name__)

    return settled
