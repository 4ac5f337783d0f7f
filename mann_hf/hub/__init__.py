"""Reading folders and repositories: finding them, and checking what is read."""
