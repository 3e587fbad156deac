"""Tests of deploy.cli.demo."""
