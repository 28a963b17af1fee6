"""Bodies of the deletion of an account."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from dropbox_api.schemas import Answer


class AccountDeletion(Answer):
    """What a deletion of the account removes, and what other accounts lose by it."""

    purge_at: Annotated[datetime | None, Field(description="When it is deleted for good; null: no deletion runs.")]
    nodes: Annotated[int, Field(description="Files and folders of the account, including the trash.")]
    used_bytes: int
    shared_items: Annotated[int, Field(description="Its files and folders with a grant.")]
    grantees: Annotated[int, Field(description="Addresses and accounts that lose access to these at once.")]
    links: Annotated[int, Field(description="Links that stop to work at once.")]
    webhooks: Annotated[int, Field(description="Webhooks that end at once.")]
