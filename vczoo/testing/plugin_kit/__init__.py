"""Tools for plugin authors: creating a plugin from templates, and checking a whole plugin."""
