"""What the machine gives: files written whole, threads that share the cores."""
