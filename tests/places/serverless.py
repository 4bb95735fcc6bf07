"""A Spark Connect session that refuses what serverless compute of Databricks refuses: caching, and settings.

The messages are those of Databricks. pyspark itself asks for settings, and its CrossValidator caches its folds, which
is between it and the platform: what is called from within pyspark is not refused.
"""

import sys
from contextlib import ExitStack, contextmanager
from unittest import mock

from pyspark.errors import AnalysisException

REFUSED = "[NOT_SUPPORTED_WITH_SERVERLESS] {} TABLE is not supported on serverless compute. SQLSTATE: 0A000"
NOT_AVAILABLE = "[CONFIG_NOT_AVAILABLE] Configuration {} is not available. SQLSTATE: 42K0I"


def _is_pysparks(frame):
    return frame.f_globals.get("__name__", "").startswith("pyspark.")


def _refuses(owner, name, message):
    """The message gets the first argument."""
    original = getattr(owner, name)

    def refused(self, *args, **kwargs):
        if _is_pysparks(sys._getframe(1)):
            return original(self, *args, **kwargs)
        raise AnalysisException(message.format(*args))

    return mock.patch.object(owner, name, refused)


@contextmanager
def refusing():
    """Within it, sessions of Spark Connect refuse to persist, to release what is persisted, and to tell or change
    settings.
    """
    # A Spark without Connect lacks what these import.
    from pyspark.sql.connect.conf import RuntimeConf
    from pyspark.sql.connect.dataframe import DataFrame

    with ExitStack() as stack:
        for name, operation in (("persist", "PERSIST"), ("cache", "PERSIST"), ("unpersist", "UNPERSIST")):
            stack.enter_context(_refuses(DataFrame, name, REFUSED.format(operation)))
        for name in ("get", "set", "unset"):
            stack.enter_context(_refuses(RuntimeConf, name, NOT_AVAILABLE))
        yield
