"""Files, YAML, tensors, text, plots and progress. Nothing here is specific to speech."""
