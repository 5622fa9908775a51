"""What is said of the key that came with a call."""

from __future__ import annotations

from pydantic import BaseModel, Field

from service.keys import KeyScope


class KeyStanding(BaseModel):
    """Who calls, and what they may do."""

    name: str = Field(description="Of the key; `anonymous` where nobody needs one.", examples=["studio"])
    scopes: list[KeyScope] = Field(
        description="What it may be used for; everything, where nobody needs a key.", examples=[["generate"]]
    )
