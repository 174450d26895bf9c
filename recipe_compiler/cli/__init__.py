"""The command `recipe`: stdout is data, stderr is talk; exit 0 fine, 1 the input is wrong, 2 our bug, 3 it changed."""
