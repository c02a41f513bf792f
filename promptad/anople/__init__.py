"""What AnoPLe is made of: prompts of both towers, views of an image, a decoder, losses of maps, and their training.

Imports ``backbones``, ``configs``, ``images``, ``features``, ``prompts`` and ``scoring``; ``methods`` imports it.
"""
