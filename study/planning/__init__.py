"""From questions to cells: everything that can be wrong with a request is found here, before any work starts.

Imports ``records``, ``ablations`` and ``promptad``'s data sets and configs; runs nothing.
"""
