"""Canaries: invented identifiers planted in a clinic's data, and a search for them in every byte that comes out."""
