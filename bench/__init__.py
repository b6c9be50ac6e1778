"""Benchmarks with their peers: `make bench`."""
