"""Samples -> tensors: chat templates, labels, images, padding and packs, for transformers' vision-language models."""

from runtime.collate.collator import Batch, Collator
from runtime.collate.processors import load_processor

__all__ = ["Batch", "Collator", "load_processor"]
