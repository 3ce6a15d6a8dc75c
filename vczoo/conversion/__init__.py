"""The converter, and conversion of files, folders and streams."""
