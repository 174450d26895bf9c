"""Fine-tuning from a manifest: a plain loop, and the same order in the trainers of others."""
