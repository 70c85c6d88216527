"""The contents of each file of a run: one struct per kind of line, shared by its writer and its readers."""
