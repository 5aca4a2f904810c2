"""The features of the connection (QUA-1), each scenario a test; its tags are the requirements that it proves."""

from __future__ import annotations

from pytest_bdd import scenarios

scenarios("features")
