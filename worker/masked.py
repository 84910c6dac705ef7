"""URLs as they may be shown: without the user and password that some hold."""

import re

# What is said of a URL that has one where it must not.
NO_USER = "must hold no user or password: drivers read theirs from the environment"

# A user before an @; a password may have slashes in it, as keys of S3 do.
_USER = re.compile(r"[^/]*@|[^/@]*:[^@]*@")


def masked(url: str) -> str:
    """`url` with *** for user and password, also where it is no URL but was meant as one."""
    without_user = re.sub(r"^(\w+://)?.*@", r"\1***@", url)
    return re.sub(r"(password=)[^&]*", r"\1***", without_user)


def names_user(url: str) -> bool:
    """Whether a user, and perhaps a password, stands before the host of `url`."""
    return _USER.match(url.partition("://")[2]) is not None
