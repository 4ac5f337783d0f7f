"""What the tasks share: result files, the pages that show them, and timing."""
