"""The state of a training and its file: checkpoints, what they must match to be resumed, and averaged weights."""
