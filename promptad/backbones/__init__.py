"""Image and text towers by name: open_clip's, timm's and the tiny one; their weights, and the local-aware streams.

Imports ``tiny.model``; the only room that uses private parts of open_clip.
"""
