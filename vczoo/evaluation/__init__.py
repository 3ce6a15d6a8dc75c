"""Trials, metrics, scores and reports."""
