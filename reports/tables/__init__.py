"""A plan and its rows as frozen tables of numbers, with the claims that they allow.

Imports ``reading`` and ``statistics``; draws nothing.
"""
