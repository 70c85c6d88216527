"""The system family: whether the machine keeps up, how a run ends, and whether a resumed run is the same."""
