"""The wide set: trainings on tasks that have nothing in common with the colours, most of them mildly ill."""
