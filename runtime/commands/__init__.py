"""What `recipe` asks of the runtime, a file for each thing. The command line reaches them by name."""
