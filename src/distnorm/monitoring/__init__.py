"""Statistics over time: have they drifted, do they still fit, what is in a file of them."""
