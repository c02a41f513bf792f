"""Rendered products with their defects and masks: what the tiny model learns from, and the inspection set.

Imports nothing of the project but its own files; what it draws depends on seeds alone.
"""
