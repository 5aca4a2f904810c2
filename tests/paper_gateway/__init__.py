"""Tests against a real gateway that is logged in to a paper account (QUA-6). See `conftest`."""
