"""The CORS rule of a bucket, without which pages can neither send parts nor read content."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CORSConfigurationTypeDef


def make_cors_rule(origins: Sequence[str]) -> "CORSConfigurationTypeDef":
    """Return the CORS rule of a bucket that lets pages of these web origins use presigned URLs."""
    return {
        "CORSRules": [
            {
                # Without any rule SeaweedFS allows every origin; a rule for an unused origin allows none.
                "AllowedOrigins": list(origins) or ["https://none.invalid"],
                "AllowedMethods": ["GET", "HEAD", "PUT"],
                "AllowedHeaders": ["*"],  # x-amz-checksum-sha256 and, where configured, SSE's
                "ExposeHeaders": ["ETag", "x-amz-checksum-sha256", "Accept-Ranges", "Content-Range"],
                "MaxAgeSeconds": 3600,
            }
        ]
    }
