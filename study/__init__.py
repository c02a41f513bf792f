"""The study: questions to cells, cells to rows, on a laptop or a Ray cluster."""
