"""Controllers: what turns a text into a key."""
