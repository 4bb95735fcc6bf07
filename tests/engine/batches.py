"""Arrow data as Spark hands it to the workers, made by hand: what no Spark API lets through can be made, too."""

import pyarrow as pa

VECTOR = pa.struct(
    [
        ("type", pa.int8()),
        ("size", pa.int32()),
        ("indices", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float64())),
    ]
)


def sparse(size, indices, values):
    return {"type": 0, "size": size, "indices": indices, "values": values}


def dense(*values):
    return {"type": 1, "size": None, "indices": None, "values": list(values)}


def vectors(*rows):
    return pa.array(rows, VECTOR)


def id_lists(*rows, kind=None):
    return pa.array(rows, pa.list_(pa.int64() if kind is None else kind))


def batch(features, label=None, weight=None, validation=None, source=0):
    """A batch of one source partition, with the columns that packing reads."""
    n = len(features)

    def column(values, default, kind):
        return pa.array([default] * n if values is None else values, kind)

    return pa.RecordBatch.from_arrays(
        [
            pa.array([source] * n, pa.int32()),
            features,
            column(label, 0.0, pa.float64()),
            column(weight, 1.0, pa.float64()),
            column(validation, False, pa.bool_()),
        ],
        ["source", "features", "label", "weight", "validation"],
    )
