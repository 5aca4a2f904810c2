"""The risk actor's room: rules, limits, exposure, baselines, day trades."""
