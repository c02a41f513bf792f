"""From questions to cells; reports everything that is wrong with a request before any work starts.

Imports ``records``, ``ablations`` and ``promptad``'s data sets and configs; runs nothing.
"""
