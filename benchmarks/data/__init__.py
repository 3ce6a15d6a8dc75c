"""Corpora and the packaged base model, prepared for benchmarks and training."""
