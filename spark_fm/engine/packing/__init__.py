"""From a DataFrame to packed blocks, and to the partitions that train."""
