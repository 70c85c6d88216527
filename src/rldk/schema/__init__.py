"""What each file of a run holds: one struct a kind of line, used by what writes it and by what reads it."""
