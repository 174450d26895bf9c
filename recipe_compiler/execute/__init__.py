"""Which samples: a bound plan -> a selection. A room of polars."""
