"""The registry of parts, recipes, plugins and pretrained weights. Imports no torch."""
