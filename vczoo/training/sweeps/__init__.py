"""A recipe, a grid of settings and recordings in; a run for each cell of the grid, one table and plots out."""
