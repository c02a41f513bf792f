"""Figures and further tables of one ablation: one builder per view, named in ``VIEWS``.

Imports ``tables`` and below, ``style`` and ``staging``.
"""
