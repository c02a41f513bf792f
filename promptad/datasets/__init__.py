"""Image data sets of industrial inspection, each as categories of labelled images."""

from promptad.datasets.catalogue import LAYOUTS, LayoutEntry, category_names, full_set_of, known_sets, open_category
from promptad.datasets.content import ChangedDataError
from promptad.datasets.digest import data_digest, normal_digest, with_contents
from promptad.datasets.known_sets import KnownSet
from promptad.datasets.layouts.layout import IMAGE_SUFFIXES, Layout, Scan
from promptad.datasets.sample import Category, DatasetError, Origin, Sample, UnreadableImageError
from promptad.datasets.support import draw_support, named_support
from promptad.datasets.watch import DataWatch

__all__ = [
    "IMAGE_SUFFIXES",
    "LAYOUTS",
    "Category",
    "ChangedDataError",
    "DataWatch",
    "DatasetError",
    "KnownSet",
    "Layout",
    "LayoutEntry",
    "Origin",
    "Sample",
    "Scan",
    "UnreadableImageError",
    "category_names",
    "data_digest",
    "draw_support",
    "full_set_of",
    "known_sets",
    "named_support",
    "normal_digest",
    "open_category",
    "with_contents",
]
