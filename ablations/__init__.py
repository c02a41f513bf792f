"""Questions as data: ablations, their arms, and the published numbers beside them."""
