"""Metrics of converted speech. Each file holds one metric and imports none of the others."""
