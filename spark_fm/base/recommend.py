"""What a fitted model says of all items at once: recommendations, and vectors for an index of nearest neighbours."""

from abc import abstractmethod
from typing import Literal

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import DateType, DecimalType, IntegralType, StringType

from spark_fm.base.named import NamedFeatures
from spark_fm.base.params import FMParams
from spark_fm.core.fm.fields import FieldLayout
from spark_fm.core.fm.losses import Loss
from spark_fm.core.fm.weights import Weights
from spark_fm.engine.cluster.broadcast import ship
from spark_fm.engine.cluster.execute import task_slots
from spark_fm.engine.packing.columns import features_kind, field_of
from spark_fm.engine.packing.keys import common_type
from spark_fm.engine.packing.names import check_names
from spark_fm.engine.ranking.reasons import REASONS
from spark_fm.engine.ranking.top_k import RATING, RECOMMENDATIONS, Exclude, Ranking, recommendations
from spark_fm.engine.ranking.vectors import Side, Splitter, vector_column

KEY_TYPES = (IntegralType, StringType, DecimalType, DateType)
SLOTS_OF_CONNECT = 8
TASKS_A_SLOT = 2
VECTOR = "vector"


class Recommending(FMParams, NamedFeatures):
    """The part of a model that ranks items for contexts.

    The features of a row are those of a context (user, hour, device, ...) and of an item (id, genre, price, ...), and
    no feature is on both sides. Then z(c, i) = <phi(c), psi(i)> with vectors of factorSize + 2 numbers
    (:mod:`spark_fm.core.fm.sides`), whatever the model was trained with.
    """

    _loss: Loss

    @property
    @abstractmethod
    def weights(self) -> Weights:
        """Parameters of the features that occurred in training."""

    @property
    @abstractmethod
    def numFeatures(self) -> int:
        """The size of the training vectors."""

    @property
    @abstractmethod
    def fields(self) -> FieldLayout | None:
        """The fields of the features, None where nothing is known of them."""

    def recommend(
        self,
        contexts: DataFrame,
        items: DataFrame,
        k: int,
        exclude: DataFrame | None = None,
        contextCol: str = "user",
        itemCol: str = "item",
        reasons: int = 0,
        numTasks: int = 0,
    ) -> DataFrame:
        """The k items with the highest predictions for each context, exactly, as a lazy DataFrame.

        Parameters
        ----------
        contexts : rows of keys (``contextCol``) and the features of their side (``featuresCol``); each gets an answer
        items : rows of distinct keys (``itemCol``) and the features of their side
        exclude : pairs of keys (``contextCol``, ``itemCol``) to leave out, such as what a user has seen; they may
            repeat, and name keys that there are not. Integers and decimals may be of another type than those of
            ``contexts`` and ``items``: they are compared exactly.
        contextCol, itemCol : columns of integers, strings, decimals or dates
        reasons : how many of the largest parts that the item adds to z each recommendation gets: weights of its
            features, their products among themselves and with the context's. What the context's features say by
            themselves is the same for all items, and left out.
        numTasks : how many tasks rank, each of which reads all items; 0 takes two for each core (16 on Spark Connect),
            and fewer for fewer than 128 contexts each

        Returns
        -------
        (``contextCol``, ``recommendations``: array<struct<``itemCol``, rating: double>>), the highest rating first and
        equal ones by key. A rating is the prediction, for classifiers the probability of the label 1. There are fewer
        than k where so many items are not left, an empty array where none is. Features that training has not met
        contribute nothing. With ``reasons`` there is a third field, reasons: array<struct<label: string,
        contribution: double>>, the largest by absolute size first.

        Raises
        ------
        ValueError, TypeError
            When a column is missing, of the wrong type or has the name of one that is added, keys of ``exclude`` are of
            a type that can't be compared exactly, ``k`` is below 1, or the model divides rows by their length
            (``normalize``), so that a score is no sum of two sides. What is wrong with a row (a null, a malformed
            vector, a feature on both sides, an item twice) is raised in a sentence when it is computed.
        """
        for name, value, least in (("k", k, 1), ("reasons", reasons, 0), ("numTasks", numTasks, 0)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name}: found {value!r}, expected an integer of at least {least}")
        spark = contexts.sparkSession
        check_names(spark, {"contextCol": contextCol, "itemCol": itemCol})
        check_names(spark, {"contextCol": contextCol}, ours=[RECOMMENDATIONS])
        check_names(spark, {"itemCol": itemCol}, ours=[RATING, REASONS] if reasons else [RATING])
        asked = Ranking(
            self._side(contexts, "context", contextCol),
            self._side(items, "item", itemCol),
            k,
            self.weights.factors.shape[1] + 2,
            self._loss.is_binary,
            reasons,
            () if self.fields is None else self.fields.fields,
        )
        left_out = None
        if exclude is not None:
            kinds = (
                common_type(exclude, key, "exclude", rows.schema[key].dataType)
                for rows, key in ((contexts, contextCol), (items, itemCol))
            )
            left_out = Exclude(exclude, *kinds)
        tasks = numTasks or TASKS_A_SLOT * task_slots(spark, SLOTS_OF_CONNECT)
        labels = self._labels() if reasons else None
        model = Splitter(self.weights, self.numFeatures, labels)
        # One function for each side, and one that tells reasons.
        splitter = ship(spark, model, mentions=3 if reasons else 2)
        return recommendations(contexts, items, splitter, asked, tasks, left_out)

    def contextVectors(self, contexts: DataFrame, contextCol: str = "user") -> DataFrame:
        """Phi of each context: (``contextCol``, ``vector``: array<double> of factorSize + 2 numbers), lazily.

        The raw prediction of a context and an item is the dot product of the context's vector and the item's of
        :meth:`itemVectors`, so that an index for maximum inner products serves the model's scores.

        Raises
        ------
        ValueError, TypeError
            See :meth:`recommend`.
        """
        check_names(contexts.sparkSession, {"contextCol": contextCol}, ours=[VECTOR])
        return self._vectors(contexts, self._side(contexts, "context", contextCol))

    def itemVectors(self, items: DataFrame, itemCol: str = "item") -> DataFrame:
        """Psi of each item: (``itemCol``, ``vector``: array<double> of factorSize + 2 numbers), lazily.

        See :meth:`contextVectors`.
        """
        check_names(items.sparkSession, {"itemCol": itemCol}, ours=[VECTOR])
        return self._vectors(items, self._side(items, "item", itemCol))

    def _labels(self) -> pa.Array:
        """The names of the features that have parameters, in their order."""
        return pa.array((self.fields or FieldLayout(())).labels(self.weights.features), pa.string())

    def _vectors(self, rows: DataFrame, side: Side) -> DataFrame:
        splitter = ship(rows.sparkSession, Splitter(self.weights, self.numFeatures))
        return vector_column(rows, splitter, side, VECTOR)

    def _side(self, rows: DataFrame, name: Literal["context", "item"], key: str) -> Side:
        """The columns of a side, checked by the schema."""
        if self.getNormalize():
            raise ValueError(
                "normalize: found true, expected false: a score of rows of unit length is no product of a context's "
                "vector and an item's"
            )
        _check_key(rows, key, f"{name}Col")
        features = self.getFeaturesCol()
        param = f"featuresCol of the {name}s"
        kind = features_kind(field_of(rows, features, param).dataType, features)
        self._check_names(rows, features, param)
        return Side(name, key, features, kind)


def _check_key(rows: DataFrame, key: str, param: str) -> None:
    found = field_of(rows, key, param).dataType
    if not isinstance(found, KEY_TYPES):
        raise TypeError(
            f"{param}: column {key!r} has type {found.simpleString()}, expected integers, strings, decimals or dates"
        )
