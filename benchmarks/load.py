"""How busy others keep the machine during a benchmark: times that were measured beside other work say little."""

import os
from time import perf_counter

import psutil


def busy_seconds() -> float:
    """Seconds that all processors have been busy since the machine started."""
    spent = psutil.cpu_times()
    idle = spent.idle + getattr(spent, "iowait", 0.0)
    # Guests are counted within user and nice.
    guests = getattr(spent, "guest", 0.0) + getattr(spent, "guest_nice", 0.0)
    return float(sum(spent) - idle - guests)


def own_seconds() -> float:
    """Seconds that this process and all below it have been busy, those that have ended included."""
    this, total = psutil.Process(), 0.0
    for process in [this, *this.children(recursive=True)]:
        try:
            spent = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += spent.user + spent.system + spent.children_user + spent.children_system
    return total


class OthersLoad:
    """The part of the machine's processors that others have used since this was made."""

    def __init__(self) -> None:
        self._begun, self._busy, self._own = perf_counter(), busy_seconds(), own_seconds()

    def share(self) -> float:
        """From 0 to 1; 0 where nothing else runs."""
        by_others = busy_seconds() - self._busy - (own_seconds() - self._own)
        seconds = max(perf_counter() - self._begun, 1e-9) * (os.cpu_count() or 1)
        return min(max(by_others / seconds, 0.0), 1.0)
