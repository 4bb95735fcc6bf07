"""Feature columns in Arrow form to CSR arrays, with the checks that need the data."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_fm.core.sparse.csr import first_unsorted

LARGEST = float(np.finfo(np.float32).max)


class BadInputError(ValueError):
    """Bad data found on an executor; its text is the sentence that the user reads."""


@dataclass(frozen=True)
class Sparse:
    """Rows in CSR form: int64 ids, float64 values (empty when all are one), one vector size per row.

    Zeros are left out. ``size`` is the vectors' common size, -1 for arrays of ids.
    """

    indptr: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    size: int


def to_numpy(array: pa.Array) -> npt.NDArray[Any]:
    """An Arrow array without nulls as a numpy array."""
    made: npt.NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return made


def binary_array(array: npt.NDArray[Any]) -> pa.Array:
    """A binary array of one value, the bytes of ``array``, which are not copied."""
    offsets = pa.py_buffer(np.array([0, array.nbytes], np.int32))
    data = pa.py_buffer(np.ascontiguousarray(array))
    return pa.Array.from_buffers(pa.binary(), 1, [None, offsets, data])


def _first(bad: npt.NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(bad)[0])


def _row_of(indptr: npt.NDArray[np.int64], position: int) -> int:
    return int(np.searchsorted(indptr, position, side="right")) - 1


def _shown(ids: npt.NDArray[np.int64]) -> str:
    shown = ", ".join(str(i) for i in ids[:8])
    return f"[{shown}, ...]" if ids.size > 8 else f"[{shown}]"


def list_parts(array: pa.Array) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """Offsets from 0 and the flat values of a list array; null lists count as empty."""
    offsets = to_numpy(array.offsets).astype(np.int64)
    if array.null_count:
        valid = to_numpy(array.is_valid())
        lengths = np.where(valid, np.diff(offsets), 0)
        kept = np.repeat(valid, np.diff(offsets))
        flat = array.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
        return np.concatenate([[0], np.cumsum(lengths)]), flat.filter(pa.array(kept))
    return offsets - offsets[0], array.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))


def read_features(array: pa.Array, kind: str, name: str) -> Sparse:
    """A column of vectors, of ids or of pairs as CSR rows.

    Raises
    ------
    BadInputError
        Naming the row (counted in this batch), what was found and what was expected.
    """
    if array.null_count:
        row = _first(to_numpy(array.is_null()))
        raise BadInputError(f"column {name!r}: row {row} is null, expected features")
    if kind == "ids":
        return _read_ids(array, name)
    if kind == "pairs":
        return _read_pairs(array, name)
    return _read_arrays(array, name) if kind == "dense" else _read_vectors(array, name)


def read_known(array: pa.Array, kind: str, name: str, num_features: int) -> Sparse:
    """:func:`read_features` for a model of so many features, which is the size that vectors must have.

    Raises
    ------
    BadInputError
        As there, or for vectors of another size.
    """
    sparse = read_features(array, kind, name)
    if sparse.size not in (-1, num_features):
        raise BadInputError(
            f"column {name!r}: vectors of size {sparse.size}, expected {num_features}, the number of features that "
            "the model was trained on"
        )
    return sparse


def _read_ids(array: pa.Array, name: str) -> Sparse:
    indptr, flat = list_parts(array)
    if flat.null_count:
        row = _row_of(indptr, _first(to_numpy(flat.is_null())))
        raise BadInputError(f"column {name!r}: row {row} has a null id, expected integers >= 0")
    ids = to_numpy(flat).astype(np.int64, copy=False)
    _check_not_negative(ids, indptr, name, "ids")
    if first_unsorted(indptr, ids) < 0:
        return Sparse(indptr, ids, np.empty(0), -1)
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    return _counted(ids[np.lexsort((ids, rows))], rows, indptr)


def _read_pairs(array: pa.Array, name: str) -> Sparse:
    """Ids beside their values: those of an id that a row has twice add up."""
    parts = {part: array.field(part) for part in ("ids", "values")}
    for part, found in parts.items():
        if found.null_count:
            row = _first(to_numpy(found.is_null()))
            raise BadInputError(f"column {name!r}: row {row} has null for {part}, expected an array")
    indptr, flat = list_parts(parts["ids"])
    value_ptr, value_array = list_parts(parts["values"])
    other = np.diff(indptr) != np.diff(value_ptr)
    if other.any():
        row = _first(other)
        raise BadInputError(
            f"column {name!r}: row {row} has {np.diff(indptr)[row]} ids and {np.diff(value_ptr)[row]} values, "
            "expected as many of one as of the other"
        )
    if flat.null_count:
        row = _row_of(indptr, _first(to_numpy(flat.is_null())))
        raise BadInputError(f"column {name!r}: row {row} has a null id, expected integers >= 0")
    ids = to_numpy(flat).astype(np.int64, copy=False)
    _check_not_negative(ids, indptr, name, "ids")
    values = _values(value_array, indptr, name)
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    if first_unsorted(indptr, ids) >= 0:
        order = np.lexsort((ids, rows))
        ids, values = ids[order], values[order]
        new = np.ones(ids.size, np.bool_)
        new[1:] = (ids[1:] != ids[:-1]) | (rows[1:] != rows[:-1])
        values = np.add.reduceat(values, np.flatnonzero(new))
        ids, rows = ids[new], rows[new]
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=indptr.size - 1))])
    return _nonzeros(indptr, rows, ids, values, -1, name)


def _counted(
    ids: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], indptr: npt.NDArray[np.int64]
) -> Sparse:
    """Each id of a row once, its value being how often it is there: what hashing put on one feature adds up."""
    new = np.ones(ids.size, np.bool_)
    new[1:] = (ids[1:] != ids[:-1]) | (rows[1:] != rows[:-1])
    if new.all():
        return Sparse(indptr, ids, np.empty(0), -1)
    starts = np.flatnonzero(new)
    counts = np.diff(starts, append=ids.size).astype(np.float64)
    lengths = np.bincount(rows[new], minlength=indptr.size - 1)
    return Sparse(np.concatenate([[0], np.cumsum(lengths)]), ids[new], counts, -1)


def _said(ids: npt.NDArray[np.int64], indptr: npt.NDArray[np.int64], at: int, what: str, problem: str) -> str:
    """Which row has a problem, and among what."""
    row = _row_of(indptr, at)
    return f"row {row} has {problem} among its {what} {_shown(ids[indptr[row] : indptr[row + 1]])}"


def _check_not_negative(
    ids: npt.NDArray[np.int64], indptr: npt.NDArray[np.int64], name: str, what: str
) -> None:
    if ids.min(initial=0) < 0:
        at = _first(ids < 0)
        found = _said(ids, indptr, at, what, f"the negative index {ids[at]}")
        raise BadInputError(f"column {name!r}: {found}, expected >= 0")


def _check_indices(ids: npt.NDArray[np.int64], indptr: npt.NDArray[np.int64], name: str, size: int) -> None:
    def message(at: int, problem: str) -> str:
        return f"column {name!r}: " + _said(ids, indptr, at, "indices", problem)

    _check_not_negative(ids, indptr, name, "indices")
    if ids.max(initial=-1) >= size:
        at = _first(ids >= size)
        raise BadInputError(
            message(at, f"the index {ids[at]}") + f", expected less than the vector's size {size}"
        )
    at = first_unsorted(indptr, ids)
    if at >= 0:
        problem = "the duplicate index" if ids[at] == ids[at - 1] else "the unsorted index"
        raise BadInputError(
            message(at, f"{problem} {ids[at]}") + ", expected ascending indices without duplicates"
        )


def _read_arrays(array: pa.Array, name: str) -> Sparse:
    """Arrays of numbers are dense vectors."""
    indptr, flat = list_parts(array)
    size = _common_size(np.diff(indptr), name)
    values = _values(flat, indptr, name)
    rows = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    return _nonzeros(indptr, rows, np.arange(values.size) - indptr[:-1][rows], values, size, name)


def _values(flat: pa.Array, indptr: npt.NDArray[np.int64], name: str) -> npt.NDArray[np.float64]:
    if flat.null_count:
        row = _row_of(indptr, _first(to_numpy(flat.is_null())))
        raise BadInputError(f"column {name!r}: row {row} has a null value, expected numbers")
    return to_numpy(flat).astype(np.float64, copy=False)


def _read_vectors(array: pa.Array, name: str) -> Sparse:
    dense = to_numpy(array.field("type")) == 1
    value_ptr, value_array = list_parts(array.field("values"))
    values = _values(value_array, value_ptr, name)
    lengths = np.diff(value_ptr)
    rows = np.repeat(np.arange(lengths.size), lengths)
    index_ptr, index_array = list_parts(array.field("indices"))
    sizes = np.where(dense, lengths, to_numpy(array.field("size").fill_null(0)))
    size = _common_size(sizes, name)

    if dense.all():
        ids = np.arange(values.size) - value_ptr[:-1][rows]
    else:
        short = ~dense & (np.diff(index_ptr) != lengths)
        if short.any():
            row = _first(short)
            raise BadInputError(
                f"column {name!r}: row {row} has {np.diff(index_ptr)[row]} indices and "
                f"{lengths[row]} values, expected as many of one as of the other"
            )
        ids = np.arange(values.size) - value_ptr[:-1][rows]
        ids[~dense[rows]] = to_numpy(index_array)
        _check_indices(ids, value_ptr, name, size)
    return _nonzeros(value_ptr, rows, ids, values, size, name)


def _nonzeros(
    indptr: npt.NDArray[np.int64],
    rows: npt.NDArray[np.int64],
    ids: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    size: int,
    name: str,
) -> Sparse:
    """The values that are not 0, checked."""
    # Not (|x| <= LARGEST) is also true of NaN. Training computes in float32.
    wrong = ~(np.abs(values) <= LARGEST)
    if wrong.any():
        at = _first(wrong)
        raise BadInputError(
            f"column {name!r}: row {rows[at]} has the value {values[at]} at index {ids[at]}, "
            f"expected a finite number of at most {LARGEST:.3g}"
        )
    kept = values != 0.0
    if not kept.all():
        counts = np.bincount(rows[kept], minlength=indptr.size - 1)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        ids, values = ids[kept], values[kept]
    if (values == 1.0).all():
        values = np.empty(0)
    return Sparse(indptr, ids, values, size)


def _common_size(sizes: npt.NDArray[np.int64], name: str) -> int:
    if not sizes.size:
        return -1
    if (sizes != sizes[0]).any():
        row = _first(sizes != sizes[0])
        raise BadInputError(
            f"column {name!r}: vectors of different sizes: row 0 has {sizes[0]}, "
            f"row {row} has {sizes[row]}, expected one size"
        )
    return int(sizes[0])


def unit_length(sparse: Sparse) -> Sparse:
    """Every row divided by its Euclidean length; an empty row stays as it is."""
    lengths = np.diff(sparse.indptr)
    rows = np.repeat(np.arange(lengths.size), lengths)
    values = sparse.values if sparse.values.size else np.ones(sparse.ids.size)
    # Divide by the largest value first: the squares of huge values would overflow.
    largest = np.zeros(lengths.size)
    np.maximum.at(largest, rows, np.abs(values))
    values = values / largest[rows]
    norms = np.sqrt(np.bincount(rows, values * values, minlength=lengths.size))
    return Sparse(sparse.indptr, sparse.ids, values / norms[rows], sparse.size)
