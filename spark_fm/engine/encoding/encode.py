"""Rows to features, on the workers: from the columns of :mod:`spark_fm.engine.encoding.inputs` to ids and values."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_fm.core.sparse.assemble import merge_in_rows, place_many, place_one
from spark_fm.core.sparse.dictionary import Dictionary
from spark_fm.engine.encoding.canonical import NULL
from spark_fm.engine.encoding.fields import EncodedField
from spark_fm.engine.encoding.parts import PARTS
from spark_fm.engine.packing.arrow import list_parts, to_numpy

LongArray = npt.NDArray[np.int64]
DoubleArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
ONES: DoubleArray = np.empty(0)


@dataclass(frozen=True)
class Features:
    """What one field gives: each row's ids from ``indptr`` on, or one a row where that is None; -1 stands for none.

    ``values`` (empty: all 1) go with the ids. ``cold`` says of each row whether it misses a value or has one without a
    feature of its own, ``unknown`` whether it has none with a feature of its own.
    """

    ids: LongArray
    values: DoubleArray
    cold: BoolArray
    unknown: BoolArray
    indptr: LongArray | None = None


class Rows(NamedTuple):
    """A batch's rows: offsets (int64), ids (ascending in each row, each once), their values (empty: all 1), cold rows,
    and of each field which rows have no known value in it, bool (fields, rows).
    """

    indptr: LongArray
    ids: LongArray
    values: DoubleArray
    cold: BoolArray
    unknown: BoolArray


@dataclass(frozen=True)
class Encoding:
    """Fields on a worker: all of an encoder's, or those of one side.

    Attributes
    ----------
    fields : those that are encoded
    cold : which of them make a row cold
    valued : whether a field of the encoder, not only of these, has values other than 1
    """

    fields: tuple[EncodedField, ...]
    cold: tuple[str, ...] = ()
    valued: bool = False

    @cached_property
    def _dictionaries(self) -> dict[str, Dictionary]:
        return {one.name: Dictionary(one.vocabulary.keys) for one in self.fields if one.by_frequency}

    def encode(self, columns: list[pa.Array], rows: int) -> Rows:
        """The features of a batch."""
        found, cold, at = list[Features](), np.zeros(rows, np.bool_), 0
        for one in self.fields:
            taken = 2 if one.kind == "weighted" else 1
            made = self._features(one, columns[at : at + taken])
            at += taken
            found.append(made)
            if one.name in self.cold:
                cold |= made.cold
        lengths = np.zeros(rows, np.int64)
        for made in found:
            lengths += 1 if made.indptr is None else np.diff(made.indptr)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        ids = np.full(int(indptr[-1]), -1, np.int64)
        valued = self.valued or any(one.is_valued for one in self.fields)
        values = np.ones(ids.size) if valued else ONES
        place = indptr[:-1].copy()
        for made in found:
            if made.indptr is None:
                place_one(place, made.ids, made.values, ids, values)
            else:
                place_many(place, made.indptr, made.ids, made.values, ids, values)
        # Places that stayed empty have the id -1, and are left out.
        kept_ptr = np.empty(rows + 1, np.int64)
        kept = merge_in_rows(indptr, ids, values, kept_ptr)
        unknown = np.stack([made.unknown for made in found])
        return Rows(kept_ptr, ids[:kept], values[: kept if values.size else 0], cold, unknown)

    def _features(self, one: EncodedField, columns: list[pa.Array]) -> Features:
        if one.kind in ("numeric", "buckets"):
            return _numbers(one, _doubles(columns[0]))
        if one.kind in ("set", "weighted"):
            return self._several(one, columns)
        keys = to_numpy(columns[0]).astype(np.int64, copy=False)
        missing = keys == NULL
        if one.kind == "cyclic":
            return _cycle(one, keys, missing)
        if one.by_frequency:
            ids, known = self._located(one, keys)
            missing |= ~known
            ids[keys == NULL] = one.place("null")
        else:
            least = PARTS[one.options["part"]].least if one.kind == "date_part" else 0
            ids = one.first + keys - least
            ids[missing] = one.place("null")
        return Features(ids, ONES, missing, missing)

    def _located(self, one: EncodedField, keys: LongArray) -> tuple[LongArray, BoolArray]:
        """Ids of hashes, and which of these have a feature of their own."""
        places = self._dictionaries[one.name].locate(keys).astype(np.int64)
        ids = one.first + places
        known = (places >= 0) & (places < one.vocabulary.kept)
        ids[places >= one.vocabulary.kept] = one.place("rare")
        ids[places < 0] = one.place("unseen")
        return ids, known

    def _several(self, one: EncodedField, columns: list[pa.Array]) -> Features:
        indptr, flat = list_parts(columns[0])
        keys = to_numpy(flat).astype(np.int64, copy=False)
        size = indptr.size - 1
        rows = np.repeat(np.arange(size), np.diff(indptr))
        values = np.ones(keys.size)
        used = keys != NULL
        if one.kind == "weighted":
            values = _doubles(list_parts(columns[1])[1])
            used &= np.isfinite(values) & (values != 0.0)
        elif one.format == 3:
            used &= _first_of_each(rows, keys)
        rows, keys, values = rows[used], keys[used], values[used]
        if one.by_frequency:
            ids, known = self._located(one, keys)
        else:
            ids, known = one.first + keys, np.ones(keys.size, np.bool_)
        cold, unknown = np.zeros(size, np.bool_), np.ones(size, np.bool_)
        cold[rows[~known]], unknown[rows[known]] = True, False
        used = ids >= 0
        if one.kind == "set" and one.format > 3:
            # A feature counts once. In format 3 each element without one added 1 to the field's other, where values
            # were made at all.
            used &= _first_of_each(rows, ids)
        rows, ids, values = rows[used], ids[used], values[used]
        if one.options.get("value", "1") != "1":
            n = np.maximum(np.bincount(rows, minlength=size), 1).astype(np.float64)
            values = (1.0 / n if one.options["value"] == "1/n" else 1.0 / np.sqrt(n))[rows]
        empty = np.bincount(rows, minlength=size) == 0
        missing = to_numpy(columns[0].is_null())
        place = one.place("null")
        if place >= 0 and (missing & empty).any():
            extra = np.flatnonzero(missing & empty)
            rows, ids = np.concatenate([rows, extra]), np.concatenate([ids, np.full(extra.size, place)])
            values = np.concatenate([values, np.ones(extra.size)])
            order = np.argsort(rows, kind="stable")
            rows, ids, values = rows[order], ids[order], values[order]
        made_ptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=size))])
        return Features(ids, values if one.is_valued else ONES, cold | missing, unknown, made_ptr)


def _doubles(array: pa.Array) -> DoubleArray:
    """Numbers, NaN for null."""
    made: DoubleArray = to_numpy(array).astype(np.float64, copy=False)
    return made


def _first_of_each(rows: npt.NDArray[np.intp], keys: LongArray) -> BoolArray:
    """Which elements are the first of their value in their row."""
    order = np.lexsort((keys, rows))
    first = np.ones(keys.size, np.bool_)
    again = (np.diff(rows[order]) == 0) & (np.diff(keys[order]) == 0)
    first[order[1:][again]] = False
    return first


def _numbers(one: EncodedField, x: DoubleArray) -> Features:
    missing = ~np.isfinite(x)
    if one.kind == "buckets":
        ids = one.first + np.searchsorted(np.array(one.edges), x, side="right").astype(np.int64)
        ids[missing] = one.place("null")
        return Features(ids, ONES, missing, missing)
    if one.options["fill"] is not None:
        x = np.where(missing, float(one.options["fill"]), x)
        filled = np.zeros(x.size, np.bool_)
    else:
        filled = missing
    if one.options["transform"] == "log1p":
        x = np.sign(x) * np.log1p(np.abs(x))
    ids = np.where(filled, one.place("null"), one.first).astype(np.int64)
    # A zero of a number has no entry, as in any sparse vector.
    ids[~filled & (x == 0.0)] = -1
    return Features(ids, np.where(filled, 1.0, x), missing, missing)


def _cycle(one: EncodedField, part: LongArray, missing: BoolArray) -> Features:
    """Two features of each row: sin and cos of the angle of the part in its period."""
    about: Any = PARTS[one.options["part"]]
    angle = 2.0 * np.pi * (part - about.least) / about.size
    ids = np.empty((part.size, 2), np.int64)
    ids[:] = (one.first, one.first + 1)
    values = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    ids[missing] = (one.place("null"), -1)
    values[missing] = 1.0
    ids[values == 0.0] = -1
    indptr = np.arange(0, 2 * part.size + 1, 2, dtype=np.int64)
    return Features(ids.ravel(), values.ravel(), missing, missing, indptr)
