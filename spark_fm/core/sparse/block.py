"""Block: a batch of sparse rows as plain arrays, and its bytes."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from spark_fm.core.sparse.csr import ESCAPE, lengthen, shorten, take_rows

_MAGIC = 0x314B434F4C424D46  # "FMBLOCK1", little-endian
_HAS_VALUES, _HAS_WEIGHT, _HAS_VALIDATION, _SHORT_INDICES, _SHORT_LABELS, _SHORT_ROWS = 1, 2, 4, 8, 16, 32
_LONG_VALUES = 64

LARGEST_BYTE = 255
_PADDING = [bytes(n) for n in range(8)]
NO_FLOATS: npt.NDArray[np.float32] = np.empty(0, np.float32)
NO_FLAGS: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
_NO_ESCAPES = np.empty(0, np.int32)
NO_FEATURES: npt.NDArray[np.int64] = np.empty(0, np.int64)


@dataclass(frozen=True)
class Block:
    """Rows in CSR form with labels.

    Attributes
    ----------
    indptr : int32 (rows + 1)
        Row r has the non-zeros ``indptr[r]:indptr[r + 1]``.
    indices : int32 (non-zeros)
        Positions of the features in a dictionary (:mod:`spark_fm.core.sparse.dictionary`).
    values : float32 or, where that would round, float64 (non-zeros), empty when all are one
    label : float64 (rows)
    weight : float32 (rows), empty when all are one
    validation : bool (rows), empty when no row is for validation only
    features : int64
        What this block adds to the dictionary, in order.
    """

    indptr: npt.NDArray[np.int32]
    indices: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32] | npt.NDArray[np.float64]
    label: npt.NDArray[np.float64]
    weight: npt.NDArray[np.float32]
    validation: npt.NDArray[np.bool_]
    features: npt.NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.label.size

    @property
    def nonzeros(self) -> int:
        """Number of stored feature values."""
        return self.indices.size

    @property
    def training_weight(self) -> float:
        """The sum of the weights of the rows that are not for validation only."""
        weight = self.weight if self.weight.size else np.ones(self.rows, np.float32)
        some = weight[~self.validation] if self.validation.size else weight
        return float(some.sum(dtype=np.float64))

    @property
    def fingerprint(self) -> int:
        """20 bits of each label, added up, whatever the order of the rows: other labels have another sum."""
        return _sum_of_bits(self.label.view(np.uint64))

    @property
    def features_fingerprint(self) -> int:
        """The same of the features that this block adds to the dictionary."""
        return _sum_of_bits(self.features.view(np.uint64))

    def take(self, rows: npt.NDArray[np.intp]) -> "Block":
        """The given rows, in the given order."""
        lengths = np.diff(self.indptr)[rows]
        indptr = np.zeros(rows.size + 1, np.int32)
        np.cumsum(lengths, out=indptr[1:])
        indices = np.empty(indptr[-1], np.int32)
        values = np.empty(indptr[-1] if self.values.size else 0, self.values.dtype)
        take_rows(self.indptr, self.indices, self.values, rows.astype(np.int64), indptr, indices, values)
        return replace(
            self,
            indptr=indptr,
            indices=indices,
            values=values,
            label=self.label[rows],
            weight=self.weight[rows] if self.weight.size else self.weight,
            validation=self.validation[rows] if self.validation.size else self.validation,
        )

    def shortened(self) -> "Block":
        """The same rows without what need not be stored: values or weights of 1, flags that are all false, and float64
        where float32 says the same.
        """
        values = self.values.astype(np.float32)
        if not (values == self.values).all():
            return replace(self, weight=_unless(self.weight, 1.0), validation=_unless(self.validation, False))
        return replace(
            self,
            values=_unless(values, 1.0),
            weight=_unless(self.weight, 1.0),
            validation=_unless(self.validation, False),
        )

    def to_bytes(self) -> bytes:
        """The block as bytes: a header of eight int64, then the arrays, each padded to eight bytes.

        Labels that are small integers take a byte, and so does the length of a row, where all rows are short.
        """
        return self.runs_to_bytes(np.array([self.rows]))[0]

    def runs_to_bytes(self, ends: npt.NDArray[np.int64]) -> list[bytes]:
        """Runs of rows that follow each other as the bytes of a block each, in one pass over all; ``ends`` has where
        each ends. What the block adds to the dictionary goes with the first.
        """
        label, lengths = self.label, np.diff(self.indptr)
        has_short_labels = bool(((label >= 0) & (label <= LARGEST_BYTE) & (label == np.floor(label))).all())
        has_short_rows = lengths.max(initial=0) <= LARGEST_BYTE
        short = shorten(self.indices)
        indices, escapes = (self.indices, _NO_ESCAPES) if short is None else short
        flags = (
            _HAS_VALUES * (self.values.size > 0)
            + _HAS_WEIGHT * (self.weight.size > 0)
            + _HAS_VALIDATION * (self.validation.size > 0)
            + _SHORT_INDICES * (short is not None)
            + _SHORT_LABELS * has_short_labels
            + _SHORT_ROWS * has_short_rows
            + _LONG_VALUES * (self.values.dtype == np.float64)
        )
        rows = np.concatenate([[0], ends]).astype(np.int64)
        nonzeros = self.indptr[rows].astype(np.int64)
        features = np.full(rows.size, self.features.size)
        features[0] = 0
        escaped = np.zeros(rows.size, np.int64)
        if escapes.size:
            escaped = np.searchsorted(np.flatnonzero(indices == ESCAPE), nonzeros)
        header = np.zeros((ends.size, 8), np.int64)
        header[:, :2] = _MAGIC, flags
        for column, at in enumerate((rows, nonzeros, features, escaped), 2):
            header[:, column] = np.diff(at)
        row_ends = rows
        if has_short_rows:
            lengths = lengths.astype(np.uint8)
        else:
            # Each run's own indptr, one after the other.
            firsts = np.repeat(nonzeros[:-1], np.diff(rows) + 1)
            at = np.arange(firsts.size) - np.repeat(np.arange(ends.size), np.diff(rows) + 1)
            lengths = (self.indptr[at] - firsts).astype(np.int32)
            row_ends = rows + np.arange(rows.size)
        columns = [
            (header, np.arange(rows.size)),
            (label.astype(np.uint8) if has_short_labels else label, rows),
            (self.features, features),
            (lengths, row_ends),
            (indices, nonzeros),
            (escapes, escaped),
            (self.values, nonzeros),
            (self.weight, rows),
            (self.validation, rows),
        ]
        return _joined_runs([(array, at) for array, at in columns if array.size])

    @classmethod
    def from_buffer(cls, buffer: bytes | memoryview) -> "Block":
        """Views into the bytes of :meth:`to_bytes`, or copies of what is shorter there; nothing may be written.

        Raises
        ------
        ValueError
            When the bytes are not those of a block.
        """
        header = np.frombuffer(buffer, np.int64, 8)
        if header[0] != _MAGIC:
            raise ValueError("not a packed block: its first bytes differ from FMBLOCK1")
        flags, rows, nonzeros, features, escaped = (int(x) for x in header[1:6])
        offset = header.nbytes

        def read(dtype: type[np.generic], count: int) -> npt.NDArray[Any]:
            nonlocal offset
            array = np.frombuffer(buffer, dtype, count, offset)
            offset += array.nbytes + -array.nbytes % 8
            return array

        label = read(np.uint8 if flags & _SHORT_LABELS else np.float64, rows).astype(np.float64, copy=False)
        dictionary = read(np.int64, features)
        if flags & _SHORT_ROWS:
            indptr = np.zeros(rows + 1, np.int32)
            np.cumsum(read(np.uint8, rows), dtype=np.int32, out=indptr[1:])
        else:
            indptr = read(np.int32, rows + 1)
        indices = read(np.uint16 if flags & _SHORT_INDICES else np.int32, nonzeros)
        escapes = read(np.int32, escaped)
        if flags & _SHORT_INDICES:
            short, indices = indices, np.empty(nonzeros, np.int32)
            lengthen(short, escapes, indices)
        return cls(
            label=label,
            features=dictionary,
            indptr=indptr,
            indices=indices,
            values=read(
                np.float64 if flags & _LONG_VALUES else np.float32, nonzeros if flags & _HAS_VALUES else 0
            ),
            weight=read(np.float32, rows if flags & _HAS_WEIGHT else 0),
            validation=read(np.bool_, rows if flags & _HAS_VALIDATION else 0),
        )


def _joined_runs(columns: list[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]]) -> list[bytes]:
    """Of each run its part of every array, between two places, padded to eight bytes."""
    views = []
    for array, at in columns:
        size = array.nbytes // array.shape[0]
        views.append((np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, (at * size).tolist()))
    found = []
    for run in range(columns[0][0].shape[0]):
        parts: list[bytes | memoryview] = []
        for view, at in views:
            first, last = at[run], at[run + 1]
            parts += (view[first:last], _PADDING[(first - last) % 8])
        found.append(b"".join(parts))
    return found


def _unless(array: npt.NDArray[Any], all_are: object) -> npt.NDArray[Any]:
    """The array, or none of it where all are as said."""
    return array[:0] if (array == all_are).all() else array


def _sum_of_bits(numbers: npt.NDArray[np.uint64]) -> int:
    mixed = (numbers + np.uint64(0x632BE59BD9B4E019)) * np.uint64(0x9E3779B97F4A7C15)
    return int((mixed >> np.uint64(44)).sum())


def concatenate(blocks: list[Block]) -> Block:
    """One block with the rows of all, in order; the dictionaries' parts follow each other."""
    if len(blocks) == 1:
        return blocks[0]
    starts = np.cumsum([0] + [b.nonzeros for b in blocks])
    indptr = [np.zeros(1, np.int32)] + [
        (b.indptr[1:] + start).astype(np.int32) for b, start in zip(blocks, starts, strict=False)
    ]

    def filled(arrays: list[npt.NDArray[Any]], sizes: list[int], fill: object) -> npt.NDArray[Any]:
        if not any(a.size for a in arrays):
            return arrays[0]
        widest = np.result_type(*(a for a in arrays if a.size))
        return np.concatenate(
            [a if a.size else np.full(n, fill, widest) for a, n in zip(arrays, sizes, strict=True)]
        )

    rows, nonzeros = [b.rows for b in blocks], [b.nonzeros for b in blocks]
    return Block(
        indptr=np.concatenate(indptr),
        indices=np.concatenate([b.indices for b in blocks]),
        values=filled([b.values for b in blocks], nonzeros, 1.0),
        label=np.concatenate([b.label for b in blocks]),
        weight=filled([b.weight for b in blocks], rows, 1.0),
        validation=filled([b.validation for b in blocks], rows, False),
        features=np.concatenate([b.features for b in blocks]),
    )
