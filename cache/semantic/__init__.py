"""Answers to questions that were asked before in other words."""
