"""From files to the network's input: geometry, normalisation, masks to match; defects pasted on normal images.

Imports ``datasets``; no model.
"""
