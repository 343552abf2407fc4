"""From the shape of a model to its parameters and to the one operator list that everything else is derived from."""
