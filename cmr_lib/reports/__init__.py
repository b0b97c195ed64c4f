"""The cardiologist's words: sections of a report."""
