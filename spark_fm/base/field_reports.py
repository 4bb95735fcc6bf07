"""What a model says of its fields as a whole: their importance, what they say together, the strongest interactions."""

from pathlib import Path

import numpy as np
import pandas as pd

from spark_fm.base.drawing import draw_matrix
from spark_fm.core.fm.fields import FieldLayout
from spark_fm.core.fm.interactions import FieldStrengths, Moments, strengths, strongest
from spark_fm.core.fm.weights import Weights


class FieldReports:
    """The reports of a model."""

    _weights: Weights
    _fields: FieldLayout | None
    _moments: Moments | None

    def importance(self) -> pd.DataFrame:
        """How much of the variance of z each field makes, if the fields of a row were independent of each other.

        z then splits into parts that do not overlap (an analysis of variance, :mod:`spark_fm.core.fm.interactions`):
        what a field says by itself, and what each two say together beyond that.

        Returns
        -------
        A row for each field, the most important first: ``field``; ``alone``, the standard deviation of what it says by
        itself; ``together``, of what it says with all others; ``share``, (alone^2 + together^2 / 2) / Var z.

        Raises
        ------
        ValueError
            When the model knows no fields.
        """
        found = self._strengths("importance")
        table: pd.DataFrame = pd.DataFrame(
            {"field": found.names, "alone": found.alone, "together": found.together, "share": found.shares}
        )
        ranked: pd.DataFrame = table.sort_values("share", ascending=False, kind="stable", ignore_index=True)
        return ranked

    def fieldMatrix(self) -> pd.DataFrame:
        """Standard deviations of what each two fields say together beyond what each says by itself; on the diagonal, of
        what a field says by itself.

        The squares of the diagonal and of one triangle add up to the variance of z, see :meth:`importance`. Rows and
        columns have the names of the fields.

        Raises
        ------
        ValueError
            When the model knows no fields.
        """
        found = self._strengths("fieldMatrix")
        matrix: pd.DataFrame = pd.DataFrame(found.pairs + np.diag(found.alone), found.names, found.names)
        return matrix

    def plotFieldMatrix(self, path: str | Path) -> None:
        """Draw :meth:`fieldMatrix` to an image file (needs matplotlib: the extra ``plots``).

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        ValueError
            When the model knows no fields.
        """
        draw_matrix(self.fieldMatrix(), path)

    def topInteractions(self, n: int = 10, fields: tuple[str, str] | None = None) -> pd.DataFrame:
        """The n pairs of features with the largest strength r_i r_j abs(<v_i, v_j>), r_i^2 being the mean of x_i^2 over
        the training rows: the root mean square of what the pair contributes to z, if the two occur independently.

        Exact. Features that can't be among the strongest are not visited, and memory is bounded. Two values of a field
        that has one a row are no pair. In a model of format 1 or 2, which does not know r, r is 1.

        Parameters
        ----------
        fields : names of two fields to choose from, in place of all

        Returns
        -------
        A row for each pair, the strongest first: ``first`` and ``second``, the names of the features; ``weight``,
        <v_i, v_j>; ``strength``.

        Raises
        ------
        ValueError
            When there is no such field, or n is below 1.
        """
        if n < 1:
            raise ValueError(f"topInteractions: found n {n}, expected at least 1")
        layout = self._fields or FieldLayout(())
        between = None if fields is None else (layout.number_of(fields[0]), layout.number_of(fields[1]))
        found = strongest(self._weights, layout, self._moments, n, between)
        table: pd.DataFrame = pd.DataFrame(
            {
                "first": layout.labels(self._weights.features[found.first]),
                "second": layout.labels(self._weights.features[found.second]),
                "weight": found.products,
                "strength": found.strengths,
            }
        )
        return table

    def _strengths(self, asked: str) -> FieldStrengths:
        if self._fields is None or not self._fields.fields:
            raise ValueError(
                f"{asked}: the model knows no fields, expected training rows whose metadata name them (docs/explain.md)"
            )
        return strengths(self._weights, self._fields, self._moments)
