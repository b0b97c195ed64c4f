"""Training: schedule, step, checkpoints and the loop."""
