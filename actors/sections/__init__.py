"""The sections of the configuration that actors are handed: each setting's name, unit, default, bounds and meaning.

Pure: how a section is read from a file and the environment, and how ``config.toml`` is printed from it, is the
business of `supervision.config`.
"""
