"""Samples of coming batches, read and decoded ahead by threads of one process.

    positions of batches  -> fetch (local)  -> samples, or why not  -> pixels  -> settled: samples, tombstones, or an error

A `Fetch` is whatever reads the samples of positions in order; `local` does it for files, by threads of the Rust core.
Order is kept, memory is bounded, and closing an iterator ends the threads it began.
"""
