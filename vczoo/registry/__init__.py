"""Registered entries, plugins and weights, by name. Imports no torch."""
