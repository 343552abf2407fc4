"""Pure functions from facts and requests to quantities with ranges and reasons; imports no torch, pandas, rich, Typer."""
