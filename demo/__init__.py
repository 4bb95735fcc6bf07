"""The second part of `make demo`: from raw events to recommendations with reasons, in one HTML page."""
