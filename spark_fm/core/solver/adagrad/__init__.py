"""AdaGrad: the step of one row, and the merge of many partitions' steps."""
