"""Few-shot image classification: handwritten characters of fifty alphabets."""
