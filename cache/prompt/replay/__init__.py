"""Replays recorded prompts under the provider's caching rules: what would each policy have cost?"""
