"""Folders and repositories: where they are, and what is read of them."""
