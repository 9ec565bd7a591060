"""A page and an HTTP service over a store or a running index; needs the ``serve`` extra."""
