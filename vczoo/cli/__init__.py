"""Command-line interface, with one module per group of commands."""
