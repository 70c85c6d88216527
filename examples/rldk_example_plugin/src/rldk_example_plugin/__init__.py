"""A rule, a log format and a framework's metric keys, one a module: `pyproject.toml` registers them."""
