"""A model's features are known by their names: those of a column must be the same, or are found by them."""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from pyspark.sql import DataFrame

from spark_fm.core.fm.agreement import difference, followed, is_as_numbered
from spark_fm.core.fm.fields import FieldLayout
from spark_fm.core.fm.weights import Weights
from spark_fm.engine.packing.attributes import layout_of
from spark_fm.engine.packing.columns import field_of


class Start(NamedTuple):
    """What a fit begins with.

    Attributes
    ----------
    layout : the fields of the features, and all their names that are known
    weights : of an earlier model, under the ids of the training rows
    num_features : of that model; 0 without one
    """

    layout: FieldLayout | None
    weights: Weights | None = None
    num_features: int = 0


class NamedFeatures:
    """The part of a model that knows what its features are called."""

    _weights: Weights
    _num_features: int
    _fields: FieldLayout | None
    # Metadata of the column that was compared last: most are compared again and again.
    _agreed: Mapping[str, Any] | None = None

    def _check_names(self, rows: DataFrame, features: str, param: str = "featuresCol") -> None:
        """Check that a features column has the model's features, as far as both know what they are called.

        Raises
        ------
        ValueError
            When there is no such column, or a feature is another one.
        """
        metadata = field_of(rows, features, param).metadata or {}
        if self._fields is None or not metadata or metadata == self._agreed:
            return
        column = layout_of(rows.schema, features)
        found = "" if column is None else difference(self._fields, column)
        if found:
            raise ValueError(
                f"{param}: {found} {features!r}; expected features of the encoder that made those of training"
            )
        self._agreed = metadata

    def _start(self, column: FieldLayout | None, features: str) -> Start:
        """The model as the start of training on a column of that layout.

        Raises
        ------
        ValueError
            When the column's features are other ones, and which are which can't be told.
        """
        mine, weights = self._fields, self._weights
        if mine is None or column is None or is_as_numbered(mine, weights.features, column):
            layout = mine if column is None else column.over(mine)
            return Start(layout, weights, self._num_features)
        here, there = ({one.name for one in layout.fields} for layout in (mine, column))
        if here and there and not here & there:
            raise ValueError(
                f"initialModel: its fields are {_listed(mine)}, those of column {features!r} are {_listed(column)}; "
                "expected at least one of the same name"
            )
        try:
            ids = followed(mine, weights.features, column)
        except ValueError as error:
            found = difference(mine, column) or "the features are others in the model than in the column"
            raise ValueError(
                f"initialModel: {found} {features!r}; {error}; expected the encoder of initialModel, or encoders that "
                "name all features, both then and now (maxNames)"
            ) from None
        left_out = [one.name for one in mine.fields if one.name not in there]
        if left_out:
            warnings.warn(
                f"initialModel: the parameters of {', '.join(map(repr, left_out))} are left out, expected fields of "
                f"these names in column {features!r} too",
                stacklevel=5,
            )
        renumbered = weights.renumbered(ids)
        layout = column.over(mine.renumbered(weights.features, ids))
        return Start(layout, renumbered, int(renumbered.features.max(initial=-1)) + 1)


def _listed(layout: FieldLayout) -> str:
    return ", ".join(repr(one.name) for one in layout.fields)
