"""Questions that the paper does not ask: protocol, draw of images, parts together, costs; ready search spaces.

Imports the vocabulary beside it and ``paper.methods``.
"""
