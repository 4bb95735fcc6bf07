"""Recommendations for users and items under the names of pyspark.ml's ALSModel."""

from collections.abc import Sequence

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_fm.base.model import FMModel
from spark_fm.engine.encoding.sides import Keyed, sides_of
from spark_fm.engine.packing.columns import field_of, quoted
from spark_fm.engine.packing.keys import common_keys
from spark_fm.feature import FieldEncoderModel

WANTED = "__spark_fm_wanted"


class Recommender:
    """What pyspark.ml's ALSModel does for users and items, from a Factorization Machine that may know more of them.

    Parameters
    ----------
    model : a fitted model, or a PipelineModel of a FieldEncoderModel and such a model
    users, items : the keys of their side, and its features (the model's ``featuresCol``); with an encoder its columns
        instead, from which the encoder makes the fields that have all theirs there. All that are to be ranked are
        there, also those that training has not met: they get what their other features say.
    userCol, itemCol : the columns of the keys, which are integers, strings, decimals or dates
    itemFields : with an encoder, the names of the items' fields, where the columns of some are on both sides

    Raises
    ------
    ValueError, TypeError
        When a column is missing or of the wrong type, the model is another, or a field of the encoder is not of one
        side: both have its columns, and it reads neither key, or it crosses columns of both. See also
        :meth:`spark_fm.base.model.FMModel.recommend`.

    Examples
    --------
    Users 0 to 2 are the features 0 to 2, items 0 and 1 the features 3 and 4.

    >>> from pyspark.sql import functions as F
    >>> from spark_fm import FMRegressor
    >>> from spark_fm.recommendation import Recommender
    >>> likes = [(0, 0), (1, 0), (2, 1)]
    >>> rows = [([u, 3 + i], 4.0 if (u, i) in likes else 2.0) for u in range(3) for i in (0, 1)] * 50
    >>> ratings = spark.createDataFrame(rows, "features array<int>, label double").coalesce(1)
    >>> model = FMRegressor(factorSize=2, maxIter=200, regParam=0.0, tol=1e-4).fit(ratings)
    >>> users = spark.createDataFrame([(u, [u]) for u in range(3)], "user int, features array<int>")
    >>> items = spark.createDataFrame([(i, [3 + i]) for i in range(2)], "item int, features array<int>")
    >>> best = Recommender(model, users, items).recommendForAllUsers(1)
    >>> first = best.select("user", F.col("recommendations")[0].alias("best")).sort("user")
    >>> first.selectExpr("user", "best.item", "round(best.rating) AS rating").show()
    +----+----+------+
    |user|item|rating|
    +----+----+------+
    |   0|   0|   4.0|
    |   1|   0|   4.0|
    |   2|   1|   4.0|
    +----+----+------+
    """

    def __init__(
        self,
        model: FMModel | PipelineModel,
        users: DataFrame,
        items: DataFrame,
        userCol: str = "user",
        itemCol: str = "item",
        itemFields: Sequence[str] = (),
    ) -> None:
        field_of(users, userCol, "userCol")
        field_of(items, itemCol, "itemCol")
        self._model, self._encoder = _stages(model)
        self._user_col, self._item_col, self._item_fields = userCol, itemCol, itemFields
        self._items = items
        self._with_features = self._encoded(users, userCol)

    def recommend(
        self,
        contexts: DataFrame,
        k: int,
        exclude: DataFrame | None = None,
        contextCol: str | None = None,
        reasons: int = 0,
    ) -> DataFrame:
        """The k best items of any contexts, such as users at an hour of the day.

        Parameters
        ----------
        contexts : as ``users``, with any columns of the context's side
        contextCol : the column of their keys; ``userCol`` unless another is given

        Returns
        -------
        See :meth:`spark_fm.base.model.FMModel.recommend`, which has the other parameters too.
        """
        key = self._user_col if contextCol is None else contextCol
        return self._model.recommend(*self._encoded(contexts, key), k, exclude, key, self._item_col, reasons)

    def recommendForAllUsers(self, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """The k best items of each user.

        Parameters
        ----------
        exclude : pairs (``userCol``, ``itemCol``) to leave out, such as what users have seen

        Returns
        -------
        (``userCol``, ``recommendations``: array<struct<``itemCol``, rating: float>>), the highest rating first, lazily.
        """
        return self._recommend(*self._with_features, k, exclude, self._user_col, self._item_col)

    def recommendForAllItems(self, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """The k users with the highest predictions for each item; see :meth:`recommendForAllUsers`."""
        users, items = self._with_features
        return self._recommend(items, users, k, exclude, self._item_col, self._user_col)

    def recommendForUserSubset(
        self, dataset: DataFrame, k: int, exclude: DataFrame | None = None
    ) -> DataFrame:
        """The k best items of the users in ``dataset``.

        Parameters
        ----------
        dataset : has keys of users (``userCol``), which may repeat; those that are not among the recommender's users
            are left out, as ALSModel does it
        exclude : see :meth:`recommendForAllUsers`
        """
        users, items = self._with_features
        rows = _some(dataset, users, self._user_col, "userCol")
        return self._recommend(rows, items, k, exclude, self._user_col, self._item_col)

    def recommendForItemSubset(
        self, dataset: DataFrame, k: int, exclude: DataFrame | None = None
    ) -> DataFrame:
        """The k users with the highest predictions for the items in ``dataset``; see :meth:`recommendForUserSubset`."""
        users, items = self._with_features
        rows = _some(dataset, items, self._item_col, "itemCol")
        return self._recommend(rows, users, k, exclude, self._item_col, self._user_col)

    def _recommend(
        self,
        contexts: DataFrame,
        items: DataFrame,
        k: int,
        exclude: DataFrame | None,
        context: str,
        item: str,
    ) -> DataFrame:
        found = self._model.recommend(contexts, items, k, exclude, context, item)
        kind = items.schema[item].dataType.simpleString()
        pairs = f"array<struct<{quoted(item)}:{kind},rating:float>>"
        return found.withColumn("recommendations", F.col("recommendations").cast(pairs))

    def _encoded(self, users: DataFrame, key: str) -> tuple[DataFrame, DataFrame]:
        """Rows of the users' side, and the items, with their features."""
        if self._encoder is None:
            return users, self._items
        sides = sides_of(
            self._encoder.layout.fields,
            Keyed(key, users.columns),
            Keyed(self._item_col, self._items.columns),
            self._item_fields,
        )
        return self._encoder.encode(users, sides.contexts), self._encoder.encode(self._items, sides.items)


def _stages(model: FMModel | PipelineModel) -> tuple[FMModel, FieldEncoderModel | None]:
    """The model, and its encoder where it has one."""
    stages = model.stages if isinstance(model, PipelineModel) else [model]
    *before, last = stages
    if isinstance(last, FMModel):
        if not before:
            return last, None
        if len(before) == 1 and isinstance(before[0], FieldEncoderModel):
            return last, before[0]
    raise TypeError(
        f"model: found {', '.join(type(stage).__name__ for stage in stages)}, expected a fitted Factorization Machine, "
        "alone or behind a FieldEncoderModel"
    )


def _some(dataset: DataFrame, all_rows: DataFrame, key: str, param: str) -> DataFrame:
    """The rows whose keys are in a dataset."""
    wanted, here = common_keys(dataset, all_rows, key, param)
    some = dataset.select(wanted.alias(WANTED)).distinct()
    return all_rows.join(some, here == some[WANTED], "left_semi")
