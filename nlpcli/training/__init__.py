"""From a plain file to a model that the next command uses: data, recipe, loop, saving."""
