"""One cell in one process: the workbench, its test images, and what it keeps beside the scores.

Imports ``records`` and ``promptad``; knows no plan, no executor and no Ray.
"""
