"""How the folders of each data set are read: one file a layout, each an entry of ``LAYOUTS`` in ``catalogue.py``.

Imports ``promptad.datasets.sample`` alone; decodes no image.
"""
