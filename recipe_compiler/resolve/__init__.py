"""From names to pinned files: what a plan's sources are on this disk, and their index."""
