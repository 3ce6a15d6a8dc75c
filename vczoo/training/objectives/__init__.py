"""Objectives: terms of the training loss that a recipe adds to those of the heads."""
