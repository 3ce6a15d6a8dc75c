"""Corpora: manifests, utterances and splits."""
