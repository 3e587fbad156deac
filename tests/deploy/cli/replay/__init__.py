"""Tests of deploy.cli.replay."""
