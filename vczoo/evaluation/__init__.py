"""Evaluation of voice conversion: trials, metrics, scores and reports."""
