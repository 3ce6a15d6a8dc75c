"""Vocoder training: the loop, losses, discriminators and checkpoints."""
