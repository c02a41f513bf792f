"""MPDD, painted and bare metal parts (Jezek et al., ICUMT 2021)."""

from promptad.datasets.layouts.mvtec import MVTecLayout


class MPDDLayout(MVTecLayout):
    """MPDD as published: the folders and the `<stem>_mask.png` names of MVTec AD.

    Only the content differs: parts in varying pose and number, and defect folders shared by few categories.
    """
