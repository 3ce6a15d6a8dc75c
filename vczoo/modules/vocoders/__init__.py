"""Vocoders that the core itself brings."""
