"""The tables and figures of the paper and its supplement, and the methods that they name.

Imports the vocabulary beside it (``spec``, ``designs``, ``arms``); no other question.
"""
