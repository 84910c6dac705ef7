"""Put back a single flipped bit, the commonest damage of a disk: the checksum says which it was."""

from collections.abc import Callable

# Each try is a checksum of all the content; larger content would take minutes.
MOST_BYTES = 64 * 1_024


def unflip(content: bytes, whole: Callable[[bytearray], bool]) -> bytes | None:
    """`content` with the one bit changed that makes it `whole`; None if none does."""
    if len(content) > MOST_BYTES:
        return None
    tried = bytearray(content)
    for place in range(len(tried)):
        for bit in range(8):
            tried[place] ^= 1 << bit
            if whole(tried):
                return bytes(tried)
            tried[place] ^= 1 << bit
    return None
