"""One named test for each known way to get Claude behind OpenAI's interface wrong.

Where the API itself would catch the mistake, the test also shows that it does: `raw` sends what an
adapter without care would send, through the same SDK.
"""
