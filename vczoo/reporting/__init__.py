"""Reports: one self-contained HTML page about a run, a sweep or an evaluation."""
