"""The serving stack: wire formats, the narrow waist, engines, costs, storage and the API."""
