"""Prompts as token sequences and trees, texts of random words, and how prompts are learned.

Imports ``texts``, ``configs``, ``backbones`` and ``features``; no method.
"""
