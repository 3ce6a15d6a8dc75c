"""Vocoder training."""
