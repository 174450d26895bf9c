"""The yardstick: this compiler beside its peers, in one run on the same files. `python -m tests.bench` prints it."""
