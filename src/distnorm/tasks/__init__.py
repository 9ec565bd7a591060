"""From scores to results, one file per task."""
