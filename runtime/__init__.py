"""Streams manifests into training. Importing this loads nothing; only `runtime.loader` needs torch."""
