"""The roles; each may do what those before it may."""

from __future__ import annotations

from enum import IntEnum

from lib.domain.errors import BadUsersError


class Role(IntEnum):
    """What a user may do, in rising order."""

    ANNOTATOR = 1  # reads images, asks for proposals, submits labels
    REVIEWER = 2  # corrects what is recorded of images and labels, takes labels back, exports
    ADMIN = 3  # trains, removes images, reads logs and weights

    @property
    def title(self) -> str:
        """The name that people type."""
        return self.name.lower()


ROLE_NAMES = tuple(role.title for role in Role)


def get_role(name: str) -> Role:
    """Look up a role by its name.

    Raises:
        BadUsersError: When there is no such role.
    """
    for role in Role:
        if role.title == name:
            return role
    msg = f"no role {name!r}; expected one of: {', '.join(ROLE_NAMES)}"
    raise BadUsersError(msg)
