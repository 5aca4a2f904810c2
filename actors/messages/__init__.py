"""What the actors say to each other: frozen, one file per subject; commands imperative, events past tense."""
