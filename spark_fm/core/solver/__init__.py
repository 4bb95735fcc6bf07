"""How a model is trained: rounds, when to stop, and in one process."""
