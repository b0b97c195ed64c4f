"""Trials: trainings that are compared with one another (experiments/dvc.yaml, stages seeds, ablations, supervised, shuffled)."""
