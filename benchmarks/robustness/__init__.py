"""Benchmarks of damaged and unusual recordings."""
