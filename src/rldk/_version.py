"""The version, on its own, so that no module needs the package's root for it."""

__all__ = ["__version__"]

__version__ = "0.1.0"
