"""Bytes of remote files: asked for in ranges, kept in blocks, read ahead of training."""
