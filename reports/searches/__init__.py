"""A search: its values, words, tables and figures, and the section of the page that shows them.

Imports ``views``, ``tables`` and below.
"""
