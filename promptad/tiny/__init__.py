"""A tiny CLIP trained on rendered products, and the synthetic inspection set it is tried on."""
