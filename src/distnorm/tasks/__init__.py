"""From scores to results, one file a task."""
