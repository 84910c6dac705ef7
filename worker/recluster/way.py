"""When a run stands still, because images that wait need the machine more. A pure function."""

# A run that stands for so long goes on for `GOES_SECONDS`, however much waits: it gets at least a
# fifth of the time.
STANDS_SECONDS = 2.0
GOES_SECONDS = 0.5


def stands(*, stood: bool, seconds: float, behind: bool) -> bool:
    """Whether the run is to stand from now on: `stood` or went for `seconds`, `behind` on images.

    Even where Linux gives a run only what nobody else wants, it takes memory bandwidth, and on two
    threads of one core half of that core.
    """
    if stood:
        return behind and seconds < STANDS_SECONDS
    return behind and seconds >= GOES_SECONDS
