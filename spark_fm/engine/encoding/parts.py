"""Parts of dates: how many there are of each, and what people call them."""

from typing import NamedTuple


class Part(NamedTuple):
    """A part of a date takes ``size`` values, from ``least`` on."""

    size: int
    least: int
    names: tuple[str, ...] = ()

    def name(self, index: int) -> str:
        """What people call its ``index``-th value."""
        return self.names[index] if self.names else str(self.least + index)


PARTS = {
    "hour": Part(24, 0),
    "weekday": Part(7, 0, ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")),
    "day": Part(31, 1),
    "week": Part(53, 1),
    "month": Part(
        12, 1,
        (
            "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
            "November", "December",
        ),
    ),
}  # fmt: skip
USUAL = ("hour", "weekday", "month")
# Of numbers that count time since 1970-01-01 UTC: how many make a second.
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
