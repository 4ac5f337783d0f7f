"""Few-shot text classification: accuracy, calibration and speed."""
