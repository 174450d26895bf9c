"""What will be computed: a frozen graph that knows nothing of this machine."""
