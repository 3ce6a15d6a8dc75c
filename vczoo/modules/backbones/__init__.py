"""Backbones that the core itself brings."""
