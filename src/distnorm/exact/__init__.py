"""Exact search: a closed room, of which others import `topk`, `Gallery` and `place`."""
