"""Figures and further tables of one ablation: one builder a view, named by an entry of ``VIEWS``.

Imports ``tables`` and below, ``style`` and ``staging``.
"""
