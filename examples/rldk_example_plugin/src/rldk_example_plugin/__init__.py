"""A log format and the metric keys of a framework for rldk, one a module; `pyproject.toml` registers them."""
