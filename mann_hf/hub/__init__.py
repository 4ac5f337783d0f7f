"""Folders and repositories: finding them, checking what is read of them, saving whole."""
