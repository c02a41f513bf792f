"""How the tiny model's weights were made: batches, losses, evaluation and the training script.

Imports ``tiny.render``, ``tiny.model`` and ``backbones``; nothing imports it.
"""
