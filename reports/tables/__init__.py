"""A plan and its rows as frozen tables of numbers, with what may be said of them.

Imports ``reading`` and ``statistics``; draws nothing.
"""
