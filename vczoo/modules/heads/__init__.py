"""Heads of the core package, for speakers, voices, text, labels and the frames of a teacher."""
