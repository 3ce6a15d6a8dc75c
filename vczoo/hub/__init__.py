"""Runs on the Hugging Face Hub: pull, push, search and verify."""
