"""What a person types and reads: the parser, the verbs, progress, status, and the driver's lock.

Imports every other room of ``study``, heavy ones when a verb needs them.
"""
