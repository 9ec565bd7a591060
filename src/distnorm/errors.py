"""What distnorm raises: one base class, each message in the form got / expected / remedy.

No message shows a password, a token or a key of an address.
"""

from __future__ import annotations

import importlib
import re
from types import ModuleType

from distnorm.text import plain

__all__ = [
    "DistnormError",
    "DistnormWarning",
    "MissingExtraError",
    "first_line",
    "masked",
    "require",
]

# What a secret stands behind in an address: user:SECRET@, http://TOKEN@, password=SECRET. Digits
# and a slash are a port, but for PostgreSQL, whose passwords are often written as they are. An
# address that was taken for a path has one slash.
_SECRETS = re.compile(
    r"(?<=:/)(?P<user>/?[^/\s:@]*:)(?!\d{1,5}[/?,])\S*(?=@)"
    r"|(?P<postgres>postgres\w*(?:\+\w+)?://?[^/\s:@]*:)\S*(?=@)"
    r"|(?P<http>https?://?)[^/\s:@]+(?=@)"
    r"|(?P<key>\b(?:[\w.-]*(?:password|passwd|passphrase|pwd|secret|token|credentials?|signature"
    r"|api[_-]?key|access[_-]?key)|auth|authorization|sig)\s?=\s?)(?:'[^']*'|[^&\s;'\"]+)",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """Text without the secrets of addresses in it.

    Examples
    --------
    >>> masked("postgresql://reader:s3cret@host/shop?sslpassword=x")
    'postgresql://reader:***@host/shop?sslpassword=***'
    """
    return _SECRETS.sub(lambda found: (found[found.lastgroup or 0]) + "***", text)


def first_line(error: BaseException) -> str:
    """What an error of a library says, in one line; some keep their text apart from codes."""
    message = getattr(error, "message", None)
    text = message if isinstance(message, str) and message.strip() else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0][:200]


class DistnormError(ValueError):
    """Input that distnorm cannot use: says what it got, what it expected and what to do.

    Parameters
    ----------
    got : str
        What was found, with shapes, dtypes and the side it belongs to.
    expected : str
        What would have been right.
    remedy : str
        What the caller can do about it.
    """

    def __init__(self, got: str, expected: str, remedy: str) -> None:
        self.got, self.expected, self.remedy = masked(got), masked(expected), masked(remedy)
        # One line, whatever was handed in and is shown.
        super().__init__(
            plain(" ".join(f"got {self.got}; expected {self.expected}; {self.remedy}".split()))
        )

    def __reduce__(self) -> tuple[type[DistnormError], tuple[str, str, str]]:
        """Pickle by the three parts, so that errors cross process boundaries."""
        return type(self), (self.got, self.expected, self.remedy)


class DistnormWarning(UserWarning):
    """What was left out of a file that was read; the command line prints it as a note."""


class MissingExtraError(DistnormError, ImportError):
    """An optional dependency is not installed; the message holds the exact pip line."""


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, or raise a MissingExtraError with the pip line that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"no module {module.partition('.')[0]!r}",
            f"the {extra!r} extra",
            f"run: pip install 'distnorm[{extra}]'",
        ) from error
