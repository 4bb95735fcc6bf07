"""From a table's columns to features: which fields there are, what a fit learns of them, and the rows' ids."""
