"""distnorm inside other people's frameworks: one short module each, imported by its own name.

``from distnorm.integrations.langchain import ShiftedEmbeddings``; the framework is an extra of its
name. No module here uses an interface that takes scores for numbers between 0 and 1.
"""
