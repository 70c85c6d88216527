"""The preference family: training on pairs, and reward models."""
