"""Tiers in other processes: what crosses, who hosts them there, and the Backend here."""
