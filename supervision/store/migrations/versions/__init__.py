"""One file a step, ``m0001`` first; each goes up and down."""
