"""An array that grows at its end without copying all of it each time."""

from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

D = TypeVar("D", bound=np.generic)


class GrowableArray(Generic[D]):
    """Rows appended to a buffer that doubles when it is full.

    ``view`` is the filled part: writes to it stay, but :meth:`append` may move it, so take it anew afterwards.
    """

    def __init__(self, empty: npt.NDArray[D]) -> None:
        self._buffer = empty
        self._size = 0

    @property
    def view(self) -> npt.NDArray[D]:
        """The rows so far."""
        return self._buffer[: self._size]

    def append(self, rows: npt.NDArray[D]) -> None:
        """Add rows at the end."""
        size = self._size + rows.shape[0]
        if size > self._buffer.shape[0]:
            larger = np.empty((max(size, 2 * self._buffer.shape[0]), *rows.shape[1:]), rows.dtype)
            larger[: self._size] = self.view
            self._buffer = larger
        self._buffer[self._size : size] = rows
        self._size = size
