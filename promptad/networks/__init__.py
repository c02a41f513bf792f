"""Small networks that methods learn on normal images alone, as frozen values of plain tensors, and how they learn.

They know features and pixels as tensors, and no backbone, config or data set.
"""
