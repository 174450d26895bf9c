"""The contract between the compiler and the runtime: a manifest's values, its bytes, and its folder. A leaf."""
