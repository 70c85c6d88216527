"""Trainings recorded with everything on: resources, checkpoints, samples, crashes."""
