"""For which addresses of a server browsers have passkeys, and to which domain they belong."""

import pytest
from pydantic import ValidationError

from dropbox_api.accounts.factors.relying_party import RelyingParty, require_relying_party
from dropbox_api.problems import PasskeysUnavailable
from dropbox_api.settings import Settings


def settings(public_url: str | None, rp_id: str | None = None) -> Settings:
    return Settings.model_validate(
        {"auth": {"secret": "s" * 32, "passkey_rp_id": rp_id}, "http": {"public_url": public_url}}
    )


@pytest.mark.parametrize(
    ("public_url", "rp_id", "party"),
    [
        ("https://Files.Example.com/", None, RelyingParty("files.example.com", "https://files.example.com")),
        ("https://files.example.com:443", None, RelyingParty("files.example.com", "https://files.example.com")),
        ("https://files.example.com:8443", None, RelyingParty("files.example.com", "https://files.example.com:8443")),
        ("http://localhost:8000", None, RelyingParty("localhost", "http://localhost:8000")),
        ("https://files.example.com", "example.com", RelyingParty("example.com", "https://files.example.com")),
    ],
)
def test_relying_party_is_the_host_and_origin_of_the_public_address(
    public_url: str, rp_id: str | None, party: RelyingParty
) -> None:
    assert require_relying_party(settings(public_url, rp_id)) == party


@pytest.mark.parametrize(
    "public_url",
    ["https://192.0.2.7", "https://[2001:db8::7]:8443", "http://127.0.0.1:8000", "http://files.example.com", None],
)
def test_passkeys_where_browsers_have_none_are_unavailable(public_url: str | None) -> None:
    with pytest.raises(PasskeysUnavailable):
        require_relying_party(settings(public_url))


@pytest.mark.parametrize("rp_id", ["example.org", "ample.com", "other.example.com"])
def test_domain_of_passkeys_that_is_not_above_the_host_is_refused(rp_id: str) -> None:
    with pytest.raises(ValidationError, match="PASSKEY_RP_ID"):
        settings("https://files.example.com", rp_id)
