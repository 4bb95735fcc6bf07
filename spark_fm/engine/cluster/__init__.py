"""Running things on Spark."""
