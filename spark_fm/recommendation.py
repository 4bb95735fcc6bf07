"""Recommendations for users and items under the names of pyspark.ml's ALSModel."""

from collections.abc import Callable

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_fm.base.model import FMModel
from spark_fm.engine.packing.columns import field_of, quoted


def _as_they_are(rows: DataFrame) -> DataFrame:
    return rows


class Recommender:
    """What pyspark.ml's ALSModel does for users and items, from a Factorization Machine that may know more of them.

    Parameters
    ----------
    model : a fitted model
    users, items : their rows: the keys, and the features of their side (the model's ``featuresCol``). All that are to
        be ranked are there, also those that training has not met: they get what their other features say.
    userCol, itemCol : the columns of the keys, which are integers, strings, decimals or dates
    encode : what adds the features to rows of either side; without it they are there

    Raises
    ------
    ValueError, TypeError
        When a column is missing or of the wrong type, or the model has ``normalize`` set; see
        :meth:`spark_fm.base.model.FMModel.recommend`.

    Examples
    --------
    Users 0 to 2 are the features 0 to 2, items 0 and 1 the features 3 and 4.

    >>> from spark_fm import FMRegressor
    >>> from spark_fm.recommendation import Recommender
    >>> likes = [(0, 0), (1, 0), (2, 1)]
    >>> rows = [([u, 3 + i], 4.0 if (u, i) in likes else 2.0) for u in range(3) for i in (0, 1)] * 50
    >>> ratings = spark.createDataFrame(rows, "features array<int>, label double").coalesce(1)
    >>> model = FMRegressor(factorSize=2, maxIter=200, regParam=0.0, tol=1e-4).fit(ratings)
    >>> users = spark.createDataFrame([(u, [u]) for u in range(3)], "user int, features array<int>")
    >>> items = spark.createDataFrame([(i, [3 + i]) for i in range(2)], "item int, features array<int>")
    >>> best = Recommender(model, users, items).recommendForAllUsers(1)
    >>> best.selectExpr("user", "recommendations[0].item", "round(recommendations[0].rating)").sort("user").show()
    +----+-----------------------+--------------------------------+
    |user|recommendations[0].item|round(recommendations[0].rating)|
    +----+-----------------------+--------------------------------+
    |   0|                      0|                             4.0|
    |   1|                      0|                             4.0|
    |   2|                      1|                             4.0|
    +----+-----------------------+--------------------------------+
    """

    def __init__(
        self,
        model: FMModel,
        users: DataFrame,
        items: DataFrame,
        userCol: str = "user",
        itemCol: str = "item",
        encode: Callable[[DataFrame], DataFrame] = _as_they_are,
    ) -> None:
        field_of(users, userCol, "userCol")
        field_of(items, itemCol, "itemCol")
        self._model, self._users, self._items = model, users, items
        self._user_col, self._item_col, self._encode = userCol, itemCol, encode

    def recommendForAllUsers(self, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """The k best items of each user.

        Parameters
        ----------
        exclude : pairs (``userCol``, ``itemCol``) to leave out, such as what users have seen

        Returns
        -------
        (``userCol``, ``recommendations``: array<struct<``itemCol``, rating: float>>), the highest rating first, lazily.
        """
        return self._recommend(self._users, self._items, k, exclude, self._user_col, self._item_col)

    def recommendForAllItems(self, k: int, exclude: DataFrame | None = None) -> DataFrame:
        """The k users with the highest predictions for each item; see :meth:`recommendForAllUsers`."""
        return self._recommend(self._items, self._users, k, exclude, self._item_col, self._user_col)

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
        rows = _some(dataset, self._users, self._user_col, "userCol")
        return self._recommend(rows, self._items, k, exclude, self._user_col, self._item_col)

    def recommendForItemSubset(
        self, dataset: DataFrame, k: int, exclude: DataFrame | None = None
    ) -> DataFrame:
        """The k users with the highest predictions for the items in ``dataset``; see :meth:`recommendForUserSubset`."""
        rows = _some(dataset, self._items, self._item_col, "itemCol")
        return self._recommend(rows, self._users, k, exclude, self._item_col, self._user_col)

    def _recommend(
        self,
        contexts: DataFrame,
        items: DataFrame,
        k: int,
        exclude: DataFrame | None,
        context: str,
        item: str,
    ) -> DataFrame:
        found = self._model.recommend(self._encode(contexts), self._encode(items), k, exclude, context, item)
        kind = items.schema[item].dataType.simpleString()
        pairs = f"array<struct<{quoted(item)}:{kind},rating:float>>"
        return found.withColumn("recommendations", F.col("recommendations").cast(pairs))


def _some(dataset: DataFrame, all_rows: DataFrame, key: str, param: str) -> DataFrame:
    """The rows whose keys are in a dataset."""
    field_of(dataset, key, param)
    return all_rows.join(dataset.select(quoted(key)).distinct(), key, "left_semi")
