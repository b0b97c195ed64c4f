"""Trials: trainings that are compared with one another (stages of experiments/dvc.yaml that train)."""
