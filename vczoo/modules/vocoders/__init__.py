"""Vocoders of the core package."""
