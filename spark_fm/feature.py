"""From the columns of a table to features with names: what a Factorization Machine reads, and what people read.

>>> from spark_fm.feature import FieldEncoder, categorical, date_parts, set_of
>>> encoder = FieldEncoder(fields=[categorical("user"), set_of("genres", value="1/sqrt(n)"), date_parts("time")])
>>> encoder.getFields()[0]
categorical('user')
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pyspark import keyword_only
from pyspark.ml.base import Estimator, Model
from pyspark.ml.param import Param
from pyspark.sql import DataFrame

from spark_fm.base.encoder_params import FieldEncoderParams
from spark_fm.base.encoder_persistence import EncoderPersistable
from spark_fm.core.fm.fields import FieldLayout
from spark_fm.engine.cluster.broadcast import Shipped, application_of, ship
from spark_fm.engine.encoding.apply import (
    ENCODED,
    MOST_FEATURES_OF_A_VECTOR,
    Output,
    OutputType,
    with_features,
)
from spark_fm.engine.encoding.encode import Encoding
from spark_fm.engine.encoding.fields import EncodedField, layout_of
from spark_fm.engine.encoding.infer import infer_fields
from spark_fm.engine.encoding.learn import learned
from spark_fm.engine.encoding.resolve import resolved
from spark_fm.engine.encoding.specs import (
    FieldSpec,
    buckets,
    categorical,
    cross,
    date_parts,
    hashed,
    numeric,
    set_of,
    weighted,
)
from spark_fm.engine.packing.columns import field_of
from spark_fm.engine.packing.names import check_names

__all__ = [
    "FieldEncoder",
    "FieldEncoderModel",
    "FieldSpec",
    "buckets",
    "categorical",
    "cross",
    "date_parts",
    "hashed",
    "infer_fields",
    "numeric",
    "set_of",
    "weighted",
]

ParamMap = dict[Param[Any], Any]


class FieldEncoder(Estimator["FieldEncoderModel"], FieldEncoderParams, EncoderPersistable):
    """Learns to encode the columns of a table as features.

    Parameters
    ----------
    fields : a list of :func:`categorical`, :func:`hashed`, :func:`numeric`, :func:`buckets`, :func:`set_of`,
        :func:`weighted`, :func:`date_parts` and :func:`cross`, or of dicts such as
        ``{"kind": "categorical", "column": "user"}``. None: as :func:`infer_fields` says of all columns but
        ``excludeCols``, as many rows as the table has.
    excludeCols : columns that no field is inferred for, such as the label
    outputCol : the features column ("features")
    outputType : "ids" (array<bigint>), "pairs" (struct<ids:array<bigint>,values:array<double>>), "vector", or "auto":
        ids where all values are 1, else pairs
    coldCol : a boolean column that marks rows in which one of ``coldFields`` (None: any categorical field) is null or
        has a value without a feature of its own; "": none
    maxNames : of how many values of a field the name is kept; others are called by a number

    Examples
    --------
    >>> FieldEncoder(fields=[{"kind": "numeric", "column": "price", "transform": "log1p"}]).getFields()
    [numeric('price', transform='log1p')]
    """

    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        fields: Sequence[FieldSpec | Mapping[str, Any]] | None = None,
        excludeCols: Sequence[str] | None = None,
        outputCol: str = "features",
        outputType: str = "auto",
        coldCol: str = "",
        coldFields: Sequence[str] | None = None,
        maxNames: int = 10_000,
    ) -> None:
        super().__init__()
        self._defaults()
        self.setParams(**self._input_kwargs)

    @keyword_only
    def setParams(
        self,
        *,
        fields: Sequence[FieldSpec | Mapping[str, Any]] | None = None,
        excludeCols: Sequence[str] | None = None,
        outputCol: str = "features",
        outputType: str = "auto",
        coldCol: str = "",
        coldFields: Sequence[str] | None = None,
        maxNames: int = 10_000,
    ) -> "FieldEncoder":
        """Sets params."""
        return self._set(**{name: value for name, value in self._input_kwargs.items() if value is not None})

    def setFields(self, value: Sequence[FieldSpec | Mapping[str, Any]]) -> "FieldEncoder":
        """Sets the value of fields."""
        return self._set(fields=value)

    def setOutputCol(self, value: str) -> "FieldEncoder":
        """Sets the value of outputCol."""
        return self._set(outputCol=value)

    def setOutputType(self, value: str) -> "FieldEncoder":
        """Sets the value of outputType."""
        return self._set(outputType=value)

    def _fit(self, dataset: DataFrame) -> "FieldEncoderModel":
        check_names(dataset.sparkSession, {"outputCol": self.getOutputCol(), "coldCol": self.getColdCol()})
        specs = self.getFields() or infer_fields(dataset, exclude=self.getExcludeCols())
        fields, salt = learned(dataset, resolved(dataset, specs), self.getMaxNames())
        model = FieldEncoderModel()
        model._resetUid(self.uid)
        self._copyValues(model)
        model._set(fields=specs)
        model.encoded, model.salt = fields, salt
        model._output()
        model._cold()
        return model


class FieldEncoderModel(Model, FieldEncoderParams, EncoderPersistable):
    """Encodes the columns of a table as features.

    Attributes
    ----------
    encoded : what it has learned of each field
    salt : of the hashes of values
    """

    def __init__(self) -> None:
        super().__init__()
        self._defaults()
        self.encoded: tuple[EncodedField, ...] = ()
        self.salt = 0
        self._shipped: dict[tuple[str, ...], tuple[object, Shipped[Encoding]]] = {}

    @property
    def layout(self) -> FieldLayout:
        """The fields with their features, and the names of these."""
        return layout_of(self.encoded)

    @property
    def numFeatures(self) -> int:
        """How many features there are: ids are below it."""
        return self.encoded[-1].first + self.encoded[-1].size if self.encoded else 0

    def _cold(self) -> tuple[str, ...]:
        if not self.getColdCol():
            return ()
        categorical = [one.name for one in self.encoded if one.kind == "categorical"]
        cold = tuple(self.getColdFields() or categorical)
        known = [one.name for one in self.encoded]
        for name in cold:
            if name not in known:
                raise ValueError(f"coldFields: found {name!r}, expected some of: {', '.join(known)}")
        return cold

    def _output(self, cold: str = "", unknown: str = "") -> Output:
        wanted = self.getOutputType()
        valued = [one.name for one in self.encoded if one.is_valued]
        if wanted == "ids" and valued:
            raise ValueError(
                f"outputType: found 'ids', which have no values, but field {valued[0]!r} has; expected pairs or vector"
            )
        if wanted == "vector" and self.numFeatures > MOST_FEATURES_OF_A_VECTOR:
            raise ValueError(
                f"outputType: found 'vector' for {self.numFeatures} features, expected at most "
                f"{MOST_FEATURES_OF_A_VECTOR}, or ids or pairs"
            )
        made: OutputType = "pairs" if valued else "ids"
        if wanted in ("pairs", "vector"):
            made = "vector" if wanted == "vector" else "pairs"
        return Output(self.getOutputCol(), made, self.numFeatures, cold, unknown)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        return self._encode(dataset, self.encoded, self.getColdCol())

    def encode(self, dataset: DataFrame, only: Sequence[str] | None = None) -> DataFrame:
        """The rows with the features of some fields only: a context's or an item's side of a row.

        Parameters
        ----------
        only : names of fields; None: those whose columns the table has

        Raises
        ------
        ValueError
            When there is no such field, or the table has the columns of none.
        """
        known = {one.name: one for one in self.encoded}
        for name in only or ():
            if name not in known:
                raise ValueError(f"only: found {name!r}, expected some of: {', '.join(known)}")
        here = set(dataset.columns)
        names = known if only is None else only
        fields = [
            one
            for one in self.encoded
            if one.name in names and (only is not None or here.issuperset(one.columns))
        ]
        if not fields:
            needed = sorted({column for one in self.encoded for column in one.columns})
            raise ValueError(
                f"fields: the columns are {', '.join(dataset.columns)}, expected some of: {', '.join(needed)}"
            )
        return self._encode(dataset, tuple(fields), "")

    def _with_unknown(self, dataset: DataFrame, column: str) -> DataFrame:
        """As transform, with a column of the numbers of the fields that a row has no known value in, array<int>."""
        return self._encode(dataset, self.encoded, self.getColdCol(), column)

    def _encode(
        self, dataset: DataFrame, fields: tuple[EncodedField, ...], cold: str, unknown: str = ""
    ) -> DataFrame:
        for column in (column for one in fields for column in one.columns):
            field_of(dataset, column, "fields")
        spark, names = dataset.sparkSession, tuple(one.name for one in fields)
        added = {"outputCol": self.getOutputCol(), "coldCol": cold}
        check_names(spark, added, dataset.columns, [ENCODED])
        # What was shipped is gone with the application that it was shipped in.
        application = application_of(spark)
        if names not in self._shipped or self._shipped[names][0] is not application:
            valued = any(one.is_valued for one in self.encoded)
            encoding = Encoding(fields, self._cold() if cold else (), valued)
            self._shipped[names] = application, ship(spark, encoding)
        output = self._output(cold, unknown)
        return with_features(dataset, self._shipped[names][1], fields, self.salt, output, self.layout)

    def values(self, field: str) -> list[tuple[str, int, int]]:
        """The values of a field by frequency whose names are known, most frequent first: (value, feature id, rows).

        Raises
        ------
        ValueError
            When there is no such field, or it does not count values.
        """
        counting = {one.name: one for one in self.encoded if one.by_frequency}
        if field not in counting:
            raise ValueError(f"field: found {field!r}, expected one of: {', '.join(counting) or 'none'}")
        one = counting[field]
        counts = one.vocabulary.counts.tolist()
        return [(value, one.first + i, counts[i]) for i, value in enumerate(one.vocabulary.values)]

    def copy(self, extra: ParamMap | None = None) -> "FieldEncoderModel":
        """A copy with some params changed; what was learned is shared."""
        copied = super().copy(extra)
        copied._shipped = {}
        return copied

    def __repr__(self) -> str:
        rows = [("field", "kind", "columns", "ids", "values")]
        for one in self.encoded:
            shown = ", ".join(one.values()[:3])
            rows.append(
                (
                    one.name,
                    one.kind,
                    ", ".join(one.columns),
                    f"{one.first} .. {one.first + one.size - 1}",
                    shown,
                )
            )
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
            for row in rows
        ]
        return "\n".join([f"FieldEncoderModel: uid={self.uid}, {self.numFeatures} features", *lines])
