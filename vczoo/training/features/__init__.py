"""Features of recordings: outputs of the frozen stages, mels and pitch, cached on disk and cut into batches."""
