"""Fields and names from the metadata of a features column.

An encoder of this package writes its fields there. Without one, pyspark.ml's attributes (``ml_attr``) say what
StringIndexer, OneHotEncoder and VectorAssembler have made: VectorAssembler calls a number by its column, "age", and the
entries of a vector column "user_ann" after the column and the entry's own name, or "user_0" where it has none. Neither
says where the column's name ends. The other columns of the DataFrame do, where they are still there; without them, what
all names of a block have in common.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pyspark.ml.linalg import VectorUDT
from pyspark.sql.types import StructType

from spark_fm.core.fm.fields import Field, FieldLayout

MOST_FIELDS = 1000
NUMBERED = re.compile(r"(.+)_(\d+)\Z")


class Attribute(NamedTuple):
    """A named entry of a vector, as ml_attr has it; its ``kind`` is binary, numeric or nominal.

    A nominal one is what StringIndexer made: its ``value`` in a row is the place of a category, and says of which.
    """

    idx: int
    name: str
    kind: str
    value: str | None = None


class Block(NamedTuple):
    """Attributes that follow each other and were one column; ``values`` are their names within it.

    Without a ``field`` nobody knows which column that was.
    """

    field: Field | None
    values: list[str]


@dataclass(frozen=True)
class Columns:
    """The other columns: which are vectors, with their attributes (none where they say nothing), and which are not."""

    vectors: Mapping[str, list[Attribute]] = field(default_factory=dict)
    numbers: frozenset[str] = frozenset()


def layout_of(schema: StructType, features: str) -> FieldLayout | None:
    """The fields of a features column and the names of its features; None where the metadata name nothing.

    Raises
    ------
    ValueError
        When the metadata of an encoder are not what encoders write.
    """
    metadata = next((one.metadata for one in schema.fields if one.name == features), None) or {}
    attributes = attributes_of(metadata)
    own = metadata.get("spark_fm")
    if own is not None:
        try:
            fields = FieldLayout.of_json(own["fields"], {}).fields
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"featuresCol: the metadata of column {features!r} have no fields of spark_fm: {error}"
            ) from None
        return FieldLayout.of_labels(fields, {one.idx: one.name for one in attributes})
    if not attributes:
        return None
    others = [one for one in schema.fields if one.name != features]
    columns = Columns(
        {
            one.name: attributes_of(one.metadata or {})
            for one in others
            if isinstance(one.dataType, VectorUDT)
        },
        frozenset(one.name for one in others if not isinstance(one.dataType, VectorUDT)),
    )
    return derived(attributes, columns)


def attributes_of(metadata: Mapping[str, Any]) -> list[Attribute]:
    """The named attributes of a column, in the order of their indices."""
    found = metadata.get("ml_attr")
    groups = found.get("attrs") if isinstance(found, dict) else None
    made = [
        Attribute(one["idx"], one["name"], kind, _places(one.get("vals")))
        for kind, attributes in (groups.items() if isinstance(groups, dict) else ())
        for one in attributes
        if type(one.get("idx")) is int and isinstance(one.get("name"), str)
    ]
    return sorted(made)


def _places(categories: object) -> str | None:
    if not isinstance(categories, list):
        return None
    made = hashlib.blake2b(json.dumps(categories).encode(), digest_size=4)
    return f"places among {len(categories)} categories ({made.hexdigest()})"


def derived(attributes: list[Attribute], columns: Columns) -> FieldLayout:
    """Fields and names of what VectorAssembler has put together; what can't be told is a name without a field.

    So are the numbers beyond the thousandth field, and a column that was assembled twice.
    """
    fields: dict[str, Field] = {}
    names: dict[int, str] = {}
    at = 0
    for block in _blocks(attributes, columns):
        size = len(block.values)
        if block.field is not None and block.field.name not in fields and len(fields) < MOST_FIELDS:
            fields[block.field.name] = block.field
            names.update(enumerate(block.values, block.field.first))
        else:
            names.update({one.idx: one.name for one in attributes[at : at + size]})
        at += size
    return FieldLayout(tuple(fields.values()), names)


def _blocks(attributes: list[Attribute], columns: Columns) -> Iterator[Block]:
    binary = [one.name for one in attributes if one.kind == "binary" and one.name not in columns.numbers]
    # Whoever one-hot encodes a single column and does not assemble it has values for names, and not all have a "_".
    assembled = all("_" in name for name in binary)
    at = 0
    while at < len(attributes):
        block = _by_column(attributes, at, columns) or _by_name(attributes, at, assembled)
        yield block
        at += len(block.values)


def _by_column(attributes: list[Attribute], at: int, columns: Columns) -> Block | None:
    """The block of a column that is still there."""
    first = attributes[at]
    if first.name in columns.numbers:
        return _number(first)
    ends = [found.start() for found in re.finditer("_", first.name)]
    for end in reversed(ends):
        column = first.name[:end]
        if column not in columns.vectors:
            continue
        own, prefix = columns.vectors[column], first.name[: end + 1]
        size = len(own) or _length(attributes, at, prefix)
        some = attributes[at : at + size]
        fits = len(some) == size and some[-1].idx == first.idx + size - 1
        if not fits or not all(one.name.startswith(prefix) for one in (some[0], some[-1])):
            continue
        values = [one.name[end + 1 :] for one in some]
        if own and (values[0], values[-1]) != (own[0].name, own[-1].name):
            continue
        return _block(
            column, some, values, (column,), is_one_hot=all(one.kind == "binary" for one in own or some)
        )
    return None


def _length(attributes: list[Attribute], at: int, prefix: str) -> int:
    """How many attributes from ``at`` on follow each other and begin so."""
    end = at
    while (
        end < len(attributes)
        and attributes[end].idx - attributes[at].idx == end - at
        and attributes[end].kind == attributes[at].kind
        and attributes[end].name.startswith(prefix)
    ):
        end += 1
    return end - at


def _by_name(attributes: list[Attribute], at: int, assembled: bool) -> Block:
    """The block that the names tell of: "user_ann", "user_bob" are one-hot, "x_0", "x_1" the entries of a vector."""
    first = attributes[at]
    if first.kind == "binary":
        if not assembled:
            return Block(None, [first.name])
        some = attributes[at : at + _length(attributes, at, first.name.split("_", 1)[0] + "_")]
        if len(some) > 1:
            end = _common([one.name for one in some]).rindex("_")
            values = [one.name[end + 1 :] for one in some]
            return _block(first.name[:end], some, values, (), is_one_hot=True)
    found = NUMBERED.match(first.name)
    if first.kind == "numeric" and found and found[2] == "0":
        size = 1
        while at + size < len(attributes) and attributes[at + size][:2] == (
            first.idx + size,
            f"{found[1]}_{size}",
        ):
            size += 1
        if size > 1:
            values = [str(i) for i in range(size)]
            return _block(found[1], attributes[at : at + size], values, (), is_one_hot=False)
    return _number(first)


def _common(names: list[str]) -> str:
    """What all names begin with."""
    first, last = min(names), max(names)
    differs = (i for i, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(differs, min(len(first), len(last)))]


def _number(attribute: Attribute) -> Block:
    made = Field(attribute.name, attribute.idx, 1, "numeric", (attribute.name,), value=attribute.value)
    return Block(made, [""])


def _block(
    name: str, some: list[Attribute], values: list[str], columns: tuple[str, ...], is_one_hot: bool
) -> Block:
    kind = "categorical" if is_one_hot else "numeric"
    made = Field(name, some[0].idx, len(some), kind, columns or (name,), one_per_row=is_one_hot)
    return Block(made, values)
