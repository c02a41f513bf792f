"""Records of a study: cells, rows, their folder, the driver's record, reasons of failure. Loads no torch.

Imports ``promptad.configs``; every other room of ``study`` may import it.
"""
