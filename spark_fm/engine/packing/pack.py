"""DataFrame to packed blocks: every row is checked once and then travels as bytes.

Runs on the executors, inside mapInArrow. Bad input is not raised there but returned as a row with
its sentence, so that the driver can raise it as such.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_fm.core.sparse.block import Block, concatenate
from spark_fm.core.sparse.dictionary import Dictionary
from spark_fm.engine.cluster.worker_process import task
from spark_fm.engine.packing.arrow import LARGEST, BadInputError, Sparse, read_features, to_numpy, unit_length
from spark_fm.engine.packing.input_columns import InputColumns
from spark_fm.engine.packing.vocabulary import Counter, counts_row

# The number of a source partition's last row, which has its features instead of a block.
COUNTS_ROW = -1
NOT_STATISTICS = ("data", "ids", "counts", "means", "spreads", "weights")
ROWS_A_BLOCK = 8192
NONZEROS_A_BLOCK = 2**22
_LONG, _FLOAT = ("bigint", pa.int64()), ("double", pa.float64())
_BYTES = ("binary", pa.binary())
_COLUMNS: dict[str, tuple[str, pa.DataType]] = {
    "source": ("int", pa.int32()),
    "number": ("int", pa.int32()),
    "rows": _LONG,
    "nonzeros": _LONG,
    "roots": _FLOAT,
    "fingerprint": _LONG,
    "features_fingerprint": _LONG,
    "absent_rows": _LONG,
    "training_rows": _LONG,
    "weight_sum": _FLOAT,
    "weight_squares": _FLOAT,
    "weight_min": _FLOAT,
    "weight_max": _FLOAT,
    "label_sum": _FLOAT,
    "label_spread": _FLOAT,
    "label_min": _FLOAT,
    "label_max": _FLOAT,
    "vector_size": _LONG,
    "largest_id": _LONG,
    "error": ("string", pa.string()),
    "data": _BYTES,
    "features": _LONG,
    "ids": _BYTES,
    "counts": _BYTES,
    "means": _BYTES,
    "spreads": _BYTES,
    "weights": _BYTES,
}
PACKED = pa.schema([(name, kind) for name, (_, kind) in _COLUMNS.items()])
PACKED_DDL = ", ".join(f"{name} {kind}" for name, (kind, _) in _COLUMNS.items())


def _numbers(array: pa.Array, name: str, what: str) -> npt.NDArray[np.float64]:
    if array.null_count:
        row = int(np.flatnonzero(to_numpy(array.is_null()))[0])
        raise BadInputError(f"column {name!r}: row {row} is null, expected a {what}")
    values = to_numpy(array).astype(np.float64, copy=False)
    # Not (|x| <= LARGEST) is also true of NaN. Training computes in float32.
    wrong = ~(np.abs(values) <= LARGEST)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise BadInputError(
            f"column {name!r}: row {row} has the {what} {values[row]}, "
            f"expected a finite number of at most {LARGEST:.3g}"
        )
    return values


def _check_binary(label: npt.NDArray[np.float64], name: str) -> None:
    wrong = (label != 0.0) & (label != 1.0)
    if not wrong.any():
        return
    row = int(np.flatnonzero(wrong)[0])
    hint = ""
    if np.isin(label, (-1.0, 1.0)).all():
        hint = f"; for labels -1 and 1 use (col({name!r}) + 1) / 2"
    raise BadInputError(f"column {name!r}: row {row} has the label {label[row]:g}, expected 0 or 1{hint}")


def _weights(batch: pa.RecordBatch, columns: InputColumns) -> npt.NDArray[np.float64]:
    weight = _numbers(batch.column("weight"), columns.weight, "weight")
    if (weight < 0.0).any():
        row = int(np.flatnonzero(weight < 0.0)[0])
        raise BadInputError(
            f"column {columns.weight!r}: row {row} has the weight {weight[row]:g}, expected >= 0"
        )
    return weight


def pack_batch(
    batch: pa.RecordBatch, columns: InputColumns, kind: str, dictionary: Dictionary
) -> tuple[Block, Sparse]:
    """Check one batch (features, label, weight > 0, validation) and make it a block, whose indices are positions in
    ``dictionary``, which grows.

    Raises
    ------
    BadInputError
        When a null, a number that is not finite, a label that is not 0 or 1 where it must be, a negative weight,
        or a malformed vector is found.
    """
    sparse = read_features(batch.column("features"), kind, columns.features)
    label = _numbers(batch.column("label"), columns.label, "label")
    if columns.binary:
        _check_binary(label, columns.label)
    weight = _weights(batch, columns)
    flags = batch.column("validation")
    if flags.null_count:
        row = int(np.flatnonzero(to_numpy(flags.is_null()))[0])
        raise BadInputError(f"column {columns.validation!r}: row {row} is null, expected true or false")
    validation = to_numpy(flags).astype(np.bool_)
    if columns.normalize:
        sparse = unit_length(sparse)
    known = len(dictionary)
    indices = dictionary.encode(sparse.ids)
    short = sparse.values.astype(np.float32)
    block = Block(
        indptr=sparse.indptr.astype(np.int32),
        indices=indices,
        # A column is centred before it is rounded, or nothing may be left of it.
        values=short if (short == sparse.values).all() else sparse.values,
        label=label + 0.0,  # -0 is 0
        weight=np.empty(0, np.float32) if (weight == 1.0).all() else weight.astype(np.float32),
        validation=validation if validation.any() else np.empty(0, np.bool_),
        features=dictionary.features()[known:],
    )
    return block, sparse


def _statistics(block: Block) -> dict[str, object]:
    training = ~block.validation if block.validation.size else np.ones(block.rows, np.bool_)
    label = block.label[training]
    weight = block.weight[training].astype(np.float64) if block.weight.size else np.ones(label.size)
    mean = float(weight @ label / weight.sum()) if weight.any() else 0.0
    return {
        "rows": block.rows,
        "nonzeros": block.nonzeros,
        "roots": float(np.sqrt(np.diff(block.indptr)).sum()),
        "fingerprint": block.fingerprint,
        "features_fingerprint": block.features_fingerprint,
        "training_rows": label.size,
        "weight_sum": float(weight.sum()),
        "weight_squares": float(weight @ weight),
        "weight_min": float(weight.min(initial=np.inf)),
        "weight_max": float(weight.max(initial=-np.inf)),
        "label_sum": float(weight @ label),
        "label_spread": float(weight @ (label - mean) ** 2),
        "label_min": float(label.min(initial=np.inf)),
        "label_max": float(label.max(initial=-np.inf)),
    }


class _Source:
    """The rows of a source partition on their way to blocks, whose sizes do not depend on how Spark cuts batches."""

    def __init__(self, number: int, columns: InputColumns, kind: str) -> None:
        self.number, self.counter = number, Counter()
        self._columns, self._kind = columns, kind
        self._waiting: list[Block] = []
        self._blocks, self._seen, self._known = 0, 0, 0
        self._sizes: set[int] = set()
        self._absent, self._largest = 0, -1

    def add(self, batch: pa.RecordBatch) -> Iterator[dict[str, object]]:
        """Take in a batch; rows of weight 0 are as if absent. Gives what has become full.

        Raises
        ------
        BadInputError
            See :func:`pack_batch`.
        """
        rows = np.arange(self._seen, self._seen + batch.num_rows)
        self._seen += batch.num_rows
        try:
            some = _weights(batch, self._columns).astype(np.float32) > 0.0
            if not some.all():
                self._absent += int((~some).sum())
                rows, batch = rows[some], batch.filter(pa.array(some))
            if not batch.num_rows:
                return
            block, sparse = pack_batch(batch, self._columns, self._kind, self.counter.dictionary)
        except BadInputError as error:
            raise BadInputError(self._placed(str(error), rows)) from None
        self._sizes.add(sparse.size)
        if len(self._sizes) > 1:
            one, other = sorted(self._sizes)
            raise BadInputError(
                f"column {self._columns.features!r}: vectors of different sizes: {one} and {other}, "
                "expected one size"
            )
        self._largest = max(self._largest, int(sparse.ids.max(initial=-1)))
        self.counter.count(block)
        self._waiting.append(block)
        yield from self._full()

    def _placed(self, sentence: str, rows: npt.NDArray[np.int64]) -> str:
        """A sentence about rows of a batch, with the numbers that they have in the partition."""

        def number(match: "re.Match[str]") -> str:
            return f"{match.group(1)}row {rows[int(match.group(2))]}"

        column = re.match(r"column ('.*?'|\".*?\"): ", sentence)
        start = column.end() - 2 if column else 0
        placed = re.sub(r"([:,] )row (\d+)", number, sentence[start:])
        return sentence[:start] + placed.replace(": row ", f": in partition {self.number}, row ", 1)

    def _full(self) -> Iterator[dict[str, object]]:
        if not self._is_enough(sum(b.rows for b in self._waiting), sum(b.nonzeros for b in self._waiting)):
            return
        whole = concatenate(self._waiting)
        first = 0
        while first < whole.rows:
            ends = whole.indptr[first + 1 : first + ROWS_A_BLOCK + 1] - whole.indptr[first]
            rows = min(ends.size, 1 + int(np.searchsorted(ends, NONZEROS_A_BLOCK)))
            if not self._is_enough(rows, int(ends[rows - 1])):
                break
            yield self._row(whole.take(np.arange(first, first + rows)))
            first += rows
        self._waiting = [whole.take(np.arange(first, whole.rows))] if first < whole.rows else []

    @staticmethod
    def _is_enough(rows: int, nonzeros: int) -> bool:
        return rows >= ROWS_A_BLOCK or nonzeros >= NONZEROS_A_BLOCK

    def _row(self, block: Block) -> dict[str, object]:
        new = slice(self._known, max(self._known, int(block.indices.max(initial=-1)) + 1))
        self._known = new.stop
        block = replace(block.shortened(), features=self.counter.dictionary.features()[new])
        row = {"source": self.number, "number": self._blocks, "data": block.to_bytes()} | _statistics(block)
        self._blocks += 1
        return row

    def rest(self) -> Iterator[dict[str, object]]:
        """The last block, and the row that counts."""
        if self._waiting:
            yield self._row(concatenate(self._waiting))
        row: dict[str, object] = {
            "source": self.number,
            "number": COUNTS_ROW,
            "absent_rows": self._absent,
            "features": len(self.counter.dictionary),
            "vector_size": max(self._sizes, default=-1),
            "largest_id": self._largest,
        }
        if self._blocks:
            row |= counts_row(self.counter.result())
        yield row


@task
def pack(
    batches: Iterator[pa.RecordBatch], columns: InputColumns, kind: str, run: str
) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: one row with statistics and bytes per block; stops at the first error.

    The last row has the features that occur in the source partition, in the order of its dictionary, and
    how often they do. ``run`` makes the plan one of its own: equal plans share their cache, and
    whoever is first to release it takes it from all.
    """
    source: _Source | None = None
    for batch in (b for b in batches if b.num_rows):
        if source is None:
            source = _Source(batch.column("source")[0].as_py(), columns, kind)
        try:
            for row in source.add(batch):
                yield pa.RecordBatch.from_pylist([row], schema=PACKED)
        except BadInputError as error:
            row = {"source": source.number, "number": 0, "error": str(error)}
            yield pa.RecordBatch.from_pylist([row], schema=PACKED)
            return
    if source is not None:
        for row in source.rest():
            yield pa.RecordBatch.from_pylist([row], schema=PACKED)
