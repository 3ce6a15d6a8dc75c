"""Waveforms, sound files, mel spectrograms and pitch."""
