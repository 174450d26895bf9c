"""Questions about releases, answered by compiling them again: why a sample is in or out, and what an edit changed."""
