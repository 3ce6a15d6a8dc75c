"""Files, YAML, tensors, text, plots and progress: nothing that knows about speech."""
