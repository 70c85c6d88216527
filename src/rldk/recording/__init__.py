"""Making a run: what is written while a training runs, and how it is kept safe."""
