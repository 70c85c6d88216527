"""The optimization family: losses, gradients and learning rates that end learning."""
