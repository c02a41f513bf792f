"""Figures and further tables of one ablation: one builder a view, each an entry of ``VIEWS``.

Imports ``tables`` and below, ``style`` and ``staging``.
"""
