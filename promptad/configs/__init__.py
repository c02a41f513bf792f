"""What every method can vary, as frozen typed values; the protocols, and the table of methods. Loads no torch.

Imports ``texts`` and ``datasets``: code that reads rows or plans can read a config.
"""
