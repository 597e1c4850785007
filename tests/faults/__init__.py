"""The matrix of faults: what goes wrong, and what the package does then, one test a row."""
