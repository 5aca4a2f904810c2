"""The configuration: sections, how they are read, what is wrong with them."""
