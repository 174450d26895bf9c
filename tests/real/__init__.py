"""Real data sets, read where they lie."""
