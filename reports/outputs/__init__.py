"""A table as Markdown, LaTeX, CSV and terminal text; provenance, and the cells behind a number.

Imports ``tables`` and below; draws nothing.
"""
