"""Tests of the translation between Responses and chats."""
