"""From features to anomaly scores and maps, and from those to metrics.

Pure functions of tensors and arrays; imports ``backbones`` for the shape of features alone.
"""
