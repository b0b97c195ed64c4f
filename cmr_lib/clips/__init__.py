"""Clips: their store, split, data sets and augmentation."""
