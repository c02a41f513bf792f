"""Objectives that judge settings for a category without its test labels, as searches and the transfer study name them.

Declared once: a search that optimises one and the study of how far it can be trusted mean the same.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyObjective:
    """What stands in for a category's own test labels.

    ``name`` is its key in files and on the command line, ``title`` what its values are measured on. ``independent``:
    its values in one category tell nothing of those in another.
    """

    name: str
    title: str
    independent: bool


PSEUDO_ANOMALIES = ProxyObjective(name="synthetic", title="pseudo-anomalies", independent=True)
OTHER_CATEGORIES = ProxyObjective(name="held_out_categories", title="other categories", independent=False)
PROXIES = (PSEUDO_ANOMALIES, OTHER_CATEGORIES)
"""In the order of tables and figures."""
