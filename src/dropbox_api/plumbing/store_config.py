"""The configuration of object store, topic and queue, read from the settings."""

from yarl import URL

from dropbox_api.settings import CdnSettings, NotificationSettings, Settings, SnsSettings
from dropbox_api.storage.cloudfront import CloudFront
from dropbox_api.storage.messages import MessagesConfig
from dropbox_api.storage.s3 import S3Config


def read_s3_config(settings: Settings) -> S3Config:
    """Return the configuration of the store client.

    Raises ValueError when CloudFront's private key is unreadable; the message names the setting without the key.
    """
    s3 = settings.s3
    return S3Config(
        bucket=s3.bucket,
        region=s3.region,
        endpoint_url=s3.endpoint_url,
        public_endpoint_url=s3.public_endpoint_url,
        access_key_id=s3.access_key_id,
        secret_access_key=s3.secret_access_key.get_secret_value() if s3.secret_access_key else None,
        session_token=s3.session_token.get_secret_value() if s3.session_token else None,
        addressing=s3.addressing,
        sse=s3.sse,
        sse_kms_key_id=s3.sse_kms_key_id,
        connect_timeout_s=s3.connect_timeout_s,
        read_timeout_s=s3.read_timeout_s,
        max_connections=s3.max_connections,
        cdn=_read_cdn(settings.cdn),
    )


def find_shared_host(settings: Settings) -> str | None:
    """Return the host that browsers reach server and store at; None if they are apart.

    Cookies ignore ports: over https, browsers would send the session cookie to the store, too.
    """
    s3, api = settings.s3, URL(settings.http.public_url or "")
    stores = [URL(url) for url in (s3.public_endpoint_url or s3.endpoint_url, settings.cdn.url) if url]
    if s3.addressing == "virtual":
        stores = [store.with_host(f"{s3.bucket}.{store.host}") if store.host else store for store in stores[:1]]
    return api.host if api.scheme == "https" and api.host in {store.host for store in stores} else None


def read_topic_config(sns: SnsSettings) -> MessagesConfig | None:
    """Return the topic for published changes, None when none is configured."""
    return _read_messages_config(sns.topic_arn, sns)


def read_queue_config(notifications: NotificationSettings) -> MessagesConfig | None:
    """Return the queue of the store's notifications, None when none is configured."""
    return _read_messages_config(notifications.queue_url, notifications)


def _read_messages_config(name: str | None, settings: SnsSettings | NotificationSettings) -> MessagesConfig | None:
    if name is None:
        return None
    secret = settings.secret_access_key.get_secret_value() if settings.secret_access_key else None
    return MessagesConfig(name, settings.region, settings.endpoint_url, settings.access_key_id, secret)


def _read_cdn(cdn: CdnSettings) -> CloudFront | None:
    if cdn.url is None or cdn.key_pair_id is None or cdn.private_key is None:
        return None
    try:
        return CloudFront(cdn.url, cdn.key_pair_id, cdn.private_key.get_secret_value(), bind_address=cdn.bind_address)
    except ValueError as error:
        raise ValueError(f"DROPBOX_CDN__PRIVATE_KEY: {error}") from None
