"""Tests of deploy.cli."""
