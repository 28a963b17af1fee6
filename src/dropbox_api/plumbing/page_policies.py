"""The Content-Security-Policies of pages with script, and of their workers.

Script and style come from the server alone, content also from the store and the CDN. A worker obeys the policy of its
own script's answer, not that of the page.
"""

import base64
import hashlib
import re

from dropbox_api.storage.object_store import ObjectStore


def format_page_policy(store: ObjectStore, nonce: str) -> str:
    """Return the policy of a page; `nonce` is for the style elements that its components make."""
    content = " ".join(store.list_address_prefixes())
    return (
        f"default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
        f"style-src 'self' 'nonce-{nonce}'; font-src 'self'; "
        f"img-src 'self' blob: data: {content}; media-src 'self' blob: {content}; "
        f"connect-src 'self' {content}; manifest-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def format_link_policy(store: ObjectStore) -> str:
    """Return the policy of a link's page, whose script makes no style elements."""
    content = " ".join(store.list_address_prefixes())
    return (
        f"default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' {content}; "
        f"media-src {content}; connect-src 'self' {content}; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def format_example_policy(store: ObjectStore, page: str) -> str:
    """Return the policy of an example with scripts of its own."""
    content = " ".join(store.list_address_prefixes())
    return (
        f"default-src 'none'; script-src 'self' {list_script_hashes(page)}; worker-src 'self'; "
        f"connect-src 'self' {content}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def format_fixed_policy(page: str) -> str:
    """Return the policy of a page with inline style and script, which is the same in each answer."""
    return (
        f"default-src 'none'; script-src {list_script_hashes(page)}; style-src {list_style_hashes(page)}; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def list_script_hashes(page: str) -> str:
    """Return the sources of a policy that allow the inline scripts of a page."""
    return _list_hashes(re.findall(r"<script(?: type=\"module\")?>(.*?)</script>", page, re.DOTALL))


def list_style_hashes(page: str) -> str:
    """Return the sources of a policy that allow the style elements of a page."""
    return _list_hashes(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))


def _list_hashes(texts: list[str]) -> str:
    digests = [hashlib.sha256(text.encode()).digest() for text in texts]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def format_worker_policy(store: ObjectStore) -> str:
    """Return the policy of a worker's script."""
    content = " ".join(store.list_address_prefixes())
    return f"default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' {content}"
