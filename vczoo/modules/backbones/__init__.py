"""Backbones of the core package."""
