"""Encoders of transformers as backbones, one module per family."""
