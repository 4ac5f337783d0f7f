"""Translation of captions, German to English or back, by a small model from scratch with a memory of tokens."""
