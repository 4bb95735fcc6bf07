"""How good the mean of the samples so far is on validation rows: by the mean of their predictions."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from spark_fm.core.fm.settings import Settings

FloatArray = npt.NDArray[np.float32]
DoubleArray = npt.NDArray[np.float64]


@dataclass
class Judge:
    """Of validation rows their ``label``, float64 (n,), and ``weight``, float32 (n,) or empty where all are 1."""

    label: DoubleArray
    weight: FloatArray
    settings: Settings
    _total: DoubleArray = field(init=False)
    _samples: int = 0

    def __post_init__(self) -> None:
        self._total = np.zeros(self.label.size)

    def state(self) -> tuple[int, DoubleArray]:
        """How many samples it has seen, and the sum of their scores: see :meth:`restore`."""
        return self._samples, self._total

    def restore(self, samples: int, total: DoubleArray) -> None:
        """Become what :meth:`state` told of."""
        self._samples, self._total = samples, total.copy()

    def sees(self, scores: DoubleArray) -> float:
        """One more sample, whose scores of the rows are given; the metric of all so far."""
        self._total += scores
        self._samples += 1
        metric = self.settings.validation_metric
        sums = metric.sums(self._total / self._samples, self.label, self.weight, self.settings.loss)
        return metric.totals(sums).mean
