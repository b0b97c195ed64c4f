"""Embeddings in, numbers with n, interval and chance out. Imports stay light: take what you need from the modules."""
