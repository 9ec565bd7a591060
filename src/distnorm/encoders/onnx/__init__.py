"""Exported graphs: the model, how to read a graph, how to write one."""
