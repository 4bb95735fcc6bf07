"""A model's predictions, and its parameters as a table."""
