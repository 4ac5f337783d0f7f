"""A model's lasting memory: what its slots mean to people, the one reference to it, and its files."""
