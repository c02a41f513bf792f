"""Sentences that the notes of several tables share."""

_CROPPED = (
    "images are elongated, and the paper's resizing (shorter edge, centre crop) cuts off their ends with the defects "
    "there; resize=squash or D12 sees whole images."
)

VISA_IS_CROPPED = f"VisA's {_CROPPED}"

LOCO_IS_CROPPED = f"LOCO's {_CROPPED}"

CPE_ROWS_ARE_EQUAL = (
    "CPE+WinCLIP and CPE+VV-CLIP judge an image by the same texts and the same global feature: their image AUROC is "
    "equal by construction, while the paper prints 91.8 and 90.5 on MVTec AD, 78.1 and 77.2 on VisA (WinCLIP's own "
    "paper has the first of each, and this one does not print its texts): no run here can meet both."
)
