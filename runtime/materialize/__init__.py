"""A manifest's samples copied into files of their own, in its order: for object stores, and for other trainers."""
