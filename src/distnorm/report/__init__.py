"""Results as people read them; no numbers of its own."""
