"""Goal-driven selection: what a pool is like (`traits`), how many samples of what (`budget`), what is told (`told`)."""
