"""Hyperparameter sweeps: one run per cell of a grid of settings, and their comparison."""
