"""Tests of the database, its schema and what is stored there."""
