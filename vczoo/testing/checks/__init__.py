"""Conformance checks of parts and recipes, exported by `vczoo.testing`."""
