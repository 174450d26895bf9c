"""In which sequence: a selection -> the global order, its shards, and the manifest."""
