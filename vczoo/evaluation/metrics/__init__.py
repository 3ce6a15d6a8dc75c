"""Measures of converted speech: waveforms and transcripts in, numbers out. Each file holds one and stands alone."""
