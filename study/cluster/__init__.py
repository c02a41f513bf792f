"""Groups of cells on Ray: connection, nodes, what a node must have, trials. Only ``study.search`` names Ray beside it.

Imports ``running`` and below.
"""
