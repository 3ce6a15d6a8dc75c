"""Benchmarks of how good conversions, content and tasks are."""
