"""Fields as they were asked for, to fields that a fit can learn: options with their defaults, names told apart."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql.types import DateType

from spark_fm.engine.encoding.fields import EncodedField
from spark_fm.engine.encoding.inputs import sorts_of, type_of
from spark_fm.engine.encoding.options import KINDS
from spark_fm.engine.encoding.parts import USUAL
from spark_fm.engine.encoding.specs import FieldSpec

CROSSED = ("categorical", "hashed", "date_part")


def resolved(dataset: DataFrame, specs: Sequence[FieldSpec]) -> list[EncodedField]:
    """The fields, those of date parts one by one, checked against the table's schema.

    Raises
    ------
    ValueError, TypeError
        Naming the field or the column, what was found and what was expected.
    """
    found: list[EncodedField] = []
    for spec in specs:
        if spec.kind == "cross":
            found.append(_crossed(spec, found))
        elif spec.kind == "date_parts":
            found += _parts(dataset, spec)
        else:
            type_of(dataset, spec.columns[0], spec.kind)
            sorts = sorts_of(dataset, spec.columns)
            found.append(EncodedField(spec.name, spec.kind, spec.columns, _options(spec), sorts))
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"fields: found two fields named {twice[0]!r}, expected no name twice: give one the option name"
        )
    if not found:
        raise ValueError("fields: found none, expected at least one")
    return found


def _options(spec: FieldSpec) -> dict[str, object]:
    return {name: spec.option(name) for name in KINDS[spec.kind] if name != "name"}


def _parts(dataset: DataFrame, spec: FieldSpec) -> list[EncodedField]:
    data_type = type_of(dataset, spec.columns[0], spec.kind, "weekday")
    usual = [part for part in USUAL if part != "hour" or not isinstance(data_type, DateType)]
    cyclic = bool(spec.option("cyclic"))
    null = spec.option("null") or ("nothing" if cyclic else "other")
    prefix = f"{spec.options['name']}_" if spec.options.get("name") else ""
    # What is learned here stays so in a session of another time zone.
    zone = dataset.sparkSession.conf.get("spark.sql.session.timeZone")
    made = []
    for part in spec.option("parts") or usual:
        type_of(dataset, spec.columns[0], spec.kind, part)
        kind = "cyclic" if cyclic else "date_part"
        options = {"part": part, "null": null, "zone": zone}
        made.append(
            EncodedField(f"{prefix}{part}", kind, spec.columns, options, sorts_of(dataset, spec.columns))
        )
    return made


def _crossed(spec: FieldSpec, before: Sequence[EncodedField]) -> EncodedField:
    known = {one.name: one for one in before}
    for name in spec.columns:
        if name not in known or known[name].kind not in CROSSED:
            can = ", ".join(name for name, one in known.items() if one.kind in CROSSED) or "none"
            raise ValueError(
                f"fields: cross of {' and '.join(map(repr, spec.columns))}: found no field {name!r} of one value in a "
                f"row before it, expected one of: {can}"
            )
    parts = [[known[name].columns[0], known[name].options.get("part")] for name in spec.columns]
    sorts = {known[name].columns[0]: known[name].sorts[0] for name in spec.columns}
    zones = [known[name].options.get("zone") for name in spec.columns]
    options = {**_options(spec), "parts": parts, "zone": zones[0] or zones[1]}
    return EncodedField(spec.name, "cross", tuple(sorts), options, tuple(sorts.values()))
