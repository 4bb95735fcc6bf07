"""What the evaluators share."""

from typing import Any, TypeVar

from pyspark import keyword_only
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.param import Param
from pyspark.ml.param.shared import HasLabelCol

from spark_fm.base.persistence import FMPersistable

E = TypeVar("E", bound="FMEvaluator")


class FMEvaluator(Evaluator, HasLabelCol, FMPersistable):
    """An evaluator of a metric that is chosen by name; saved and loaded as estimators are.

    A param that is set to None has its default.
    """

    metricName: Param[str]
    _input_kwargs: dict[str, Any]

    def _set(self: E, **kwargs: Any) -> E:
        for name in [name for name, value in kwargs.items() if value is None]:
            self.clear(self.getParam(name))
            del kwargs[name]
        return super()._set(**kwargs)

    @keyword_only
    def setParams(self: E, **kwargs: Any) -> E:
        """Sets params by name; takes what the constructor takes."""
        return self._set(**self._input_kwargs)

    def _optional(self, param: "Param[str]") -> str:
        return self.getOrDefault(param) if self.isDefined(param) else ""

    def getMetricName(self) -> str:
        """Gets the value of metricName or its default value."""
        return self.getOrDefault(self.metricName)

    def setMetricName(self: E, value: str) -> E:
        """Sets the value of metricName."""
        return self._set(metricName=value)

    def setLabelCol(self: E, value: str) -> E:
        """Sets the value of labelCol."""
        return self._set(labelCol=value)
