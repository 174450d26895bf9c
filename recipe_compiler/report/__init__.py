"""What people and programs read about manifests. It reads manifests and nothing else."""
