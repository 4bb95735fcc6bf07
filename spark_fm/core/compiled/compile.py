"""How the numba functions of this package are compiled."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile ``function`` with numba in nopython mode; keep the machine code on disk where possible.

    ``fastmath`` lets the compiler reorder sums, which vectorises them; it assumes finite input, which
    packing guarantees. A package inside a zip file (``--py-files``) has no folder to cache in; there
    every process compiles for itself.
    """
    return _compile(function, fastmath=True)


def compiled_exactly(function: F) -> F:
    """As :func:`compiled`, but every operation rounds as written: for what computes with its own rounding errors."""
    return _compile(function, fastmath=False)


def _compile(function: F, fastmath: bool) -> F:
    options = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}
    try:
        made: F = numba.njit(cache=True, **options)(function)
    except RuntimeError:
        made = numba.njit(**options)(function)
    return made
