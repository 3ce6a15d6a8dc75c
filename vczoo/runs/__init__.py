"""Run folders: a trained model and its voices, saved and loaded."""
