"""The scripts of a cluster import each other by their folder, which is where they are run: they are no tests."""

collect_ignore = ["cluster.py", "kills.py"]
