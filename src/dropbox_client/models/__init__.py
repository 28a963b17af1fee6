"""The requests and responses of the API as frozen dataclasses. Ids are UUID strings, times are aware, hashes are hex.

Unknown members are ignored, so that an older client can talk to a newer server. Only classes with many instances have
slots. Creating a dataclass takes time: each name is imported from its module when it is used.
"""

from typing import TYPE_CHECKING

from dropbox_client.lazy import import_names

if TYPE_CHECKING:
    from dropbox_client.models.account import *  # noqa: F403
    from dropbox_client.models.batches import *  # noqa: F403
    from dropbox_client.models.events import *  # noqa: F403
    from dropbox_client.models.files import *  # noqa: F403
    from dropbox_client.models.sharing import *  # noqa: F403
    from dropbox_client.models.uploads import *  # noqa: F403
    from dropbox_client.models.webhooks import *  # noqa: F403
else:
    __getattr__ = import_names(
        __name__,
        {
            "account": (
                "Account AccountDeletion AccountKind CreatedPersonalToken Device ManagedUser Passkey PersonalToken "
                "Scope SecondFactorProposal SignInSession StorageUsage"
            ),
            "batches": (
                "BatchResult CopyOperation CreateFolderOperation MoveOperation Operation RestoreOperation "
                "TrashOperation hash_tree"
            ),
            "events": "Event EventActor EventList",
            "files": (
                "Activity ArchiveUrl CopyProgress DownloadItem DownloadResult DownloadUrl File FileRef FileState "
                "Manifest ContentChunk NamedFile NameResult NodeState normalize_name OnConflict Order Processing "
                "ProcessingState Revision Thumbnails TreeEntry "
            ),
            "sharing": (
                "KEEP Contact Grant GrantedRole Keep Link LinkMode LinkPass OwnShare PublicFile PublicLink ReceivedFile"
            ),
            "uploads": (
                "Capabilities Chunk CompletedUpload CompletedUploadItem CreateUpload CreatedUpload CreatedUploadItem "
                "CreateLinkUpload CreatedLinkUpload CreatedUploadToken LinkUpload "
                "Destination DestinationState FingerprintHit ListedChunk RetryLater SignedPart Upload UploadState "
                "UploadToken"
            ),
            "webhooks": "CreatedWebhook Delivery DeliveryState Webhook",
        },
    )
