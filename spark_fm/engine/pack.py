"""DataFrame to packed blocks: every row is checked once and then travels as bytes.

Runs on the executors, inside mapInArrow. Bad input is not raised there but returned as a row with
its sentence, so that the driver can raise it as such.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark import TaskContext

from spark_fm.core.block import Block
from spark_fm.core.dictionary import Dictionary
from spark_fm.engine.arrow import LARGEST, BadInputError, Sparse, read_features, to_numpy, unit_length
from spark_fm.engine.features import Counter
from spark_fm.engine.process import task
from spark_fm.engine.request import Columns

# The number of a source partition's last row, which has its features instead of a block.
COUNTS_ROW = -1
NOT_STATISTICS = ("data", "ids", "counts", "squares")
PACKED = pa.schema(
    [
        ("source", pa.int32()),
        ("number", pa.int32()),
        ("rows", pa.int64()),
        ("nonzeros", pa.int64()),
        ("training_rows", pa.int64()),
        ("weight_sum", pa.float64()),
        ("label_sum", pa.float64()),
        ("label_spread", pa.float64()),
        ("label_min", pa.float64()),
        ("label_max", pa.float64()),
        ("has_values", pa.bool_()),
        ("vector_size", pa.int64()),
        ("largest_id", pa.int64()),
        ("error", pa.string()),
        ("data", pa.binary()),
        ("features", pa.int64()),
        ("ids", pa.binary()),
        ("counts", pa.binary()),
        ("squares", pa.binary()),
    ]
)
PACKED_DDL = (
    "source int, number int, rows bigint, nonzeros bigint, training_rows bigint, weight_sum double, "
    "label_sum double, label_spread double, label_min double, label_max double, has_values boolean, "
    "vector_size bigint, largest_id bigint, error string, data binary, features bigint, "
    "ids binary, counts binary, squares binary"
)


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


def pack_batch(
    batch: pa.RecordBatch, columns: Columns, kind: str, dictionary: Dictionary
) -> tuple[Block, Sparse]:
    """Check one batch (features, label, weight, validation) and make it a block, whose indices are positions in
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
    weight = _numbers(batch.column("weight"), columns.weight, "weight")
    if (weight < 0.0).any():
        row = int(np.flatnonzero(weight < 0.0)[0])
        raise BadInputError(
            f"column {columns.weight!r}: row {row} has the weight {weight[row]:g}, expected >= 0"
        )
    flags = batch.column("validation")
    if flags.null_count:
        row = int(np.flatnonzero(to_numpy(flags.is_null()))[0])
        raise BadInputError(f"column {columns.validation!r}: row {row} is null, expected true or false")
    validation = to_numpy(flags).astype(np.bool_)
    if columns.normalize:
        sparse = unit_length(sparse)
    known = len(dictionary)
    indices = dictionary.encode(sparse.ids)
    block = Block(
        indptr=sparse.indptr.astype(np.int32),
        indices=indices,
        values=sparse.values.astype(np.float32),
        label=label,
        weight=np.empty(0, np.float32) if (weight == 1.0).all() else weight.astype(np.float32),
        validation=validation if validation.any() else np.empty(0, np.bool_),
        features=dictionary.features()[known:],
    )
    return block, sparse


def _statistics(block: Block, sparse: Sparse) -> dict[str, object]:
    training = ~block.validation if block.validation.size else np.ones(block.rows, np.bool_)
    label = block.label[training]
    weight = block.weight[training].astype(np.float64) if block.weight.size else np.ones(label.size)
    mean = float(weight @ label / weight.sum()) if weight.any() else 0.0
    return {
        "rows": block.rows,
        "nonzeros": block.nonzeros,
        "training_rows": label.size,
        "weight_sum": float(weight.sum()),
        "label_sum": float(weight @ label),
        "label_spread": float(weight @ (label - mean) ** 2),
        "label_min": float(label.min(initial=np.inf)),
        "label_max": float(label.max(initial=-np.inf)),
        "has_values": block.values.size > 0,
        "vector_size": sparse.size,
        "largest_id": int(sparse.ids.max(initial=-1)),
    }


@task
def pack(batches: Iterator[pa.RecordBatch], columns: Columns, kind: str) -> Iterator[pa.RecordBatch]:
    """The mapInArrow function: one row with statistics and bytes per batch; stops at the first error.

    The last row has the features that occur in the source partition, in the order of its dictionary, and
    how often they do.
    """
    context = TaskContext.get()
    source = context.partitionId() if context else 0
    counter = Counter()
    for number, batch in enumerate(b for b in batches if b.num_rows):
        row: dict[str, object] = {"source": source, "number": number}
        try:
            block, sparse = pack_batch(batch, columns, kind, counter.dictionary)
            counter.count(block)
            row |= _statistics(block, sparse) | {"data": block.to_bytes()}
        except BadInputError as error:
            row["error"] = str(error).replace(": row ", f": in partition {source}, batch {number}, row ")
        yield pa.RecordBatch.from_pylist([row], schema=PACKED)
        if "error" in row:
            return
    if len(counter.dictionary):
        counted = counter.result()
        row = {"source": source, "number": COUNTS_ROW, "features": counted.ids.size}
        yield pa.RecordBatch.from_pylist([row | counted.to_row()], schema=PACKED)
