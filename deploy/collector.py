"""Python's garbage collector in processes that serve."""

import gc

YOUNG = 20_000


def calm() -> None:
    """What was made by now lives as long as the process: looking through it again and again stops
    the loop for a tenth of a second at a time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)
