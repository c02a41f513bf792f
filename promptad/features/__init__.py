"""Features of images, each computed once and kept in a node's cache; support images in other poses.

Imports ``images`` and ``backbones``; no method.
"""
