"""Texts about normal and damaged objects: templates and anomaly suffixes. Strings only.

Imports nothing of the project but its own files.
"""
