"""Recipes, and the models built from them."""
