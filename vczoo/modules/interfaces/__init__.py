"""Interfaces of backbones, heads and vocoders."""
