"""Tests of the link: the real actor, a real socket, the simulated gateway at the other end."""
