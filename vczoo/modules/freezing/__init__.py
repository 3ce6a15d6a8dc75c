"""Freezing strategies of the core package, and the function that applies one."""
