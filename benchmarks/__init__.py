"""Measurements of cost, run by hand on a quiet machine: `python -m benchmarks.<name>`. Never part of the tests."""
