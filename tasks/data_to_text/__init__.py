"""E2E: descriptions of restaurants from their properties."""
