"""Compiles data recipes into exact, content-addressed manifests. Importing this loads nothing else."""

__version__ = "0.1.0"
