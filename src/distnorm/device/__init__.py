"""What tensors are computed with where they are: kernels, and the same steps in plain torch."""
