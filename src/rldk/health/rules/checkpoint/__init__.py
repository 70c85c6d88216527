"""The checkpoint family: whether a save is whole, and what training changed in it."""
