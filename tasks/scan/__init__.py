"""SCAN: commands in English to sequences of actions, with words that change their meaning from episode to episode."""
