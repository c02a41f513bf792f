"""Groups of cells on Ray: connection, nodes and their requirements, trials. Only ``study.search`` uses Ray too.

Imports ``running`` and below.
"""
