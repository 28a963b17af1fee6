"""The client of dropbox-api: the Python SDK, and the command line `dbx`.

    from dropbox_client import Client, NameTaken

    with Client("https://files.example.org", token="dbx_pat_...") as client:
        try:
            file = client.upload("cat.jpg", to="/photos/cat.jpg")
        except NameTaken as error:
            print("exists already:", error.file_id)
            file = client.files.get("/photos/cat.jpg")
        client.download(file, to="copy.jpg")

`docs/sdk.md` shows more. Names are imported when they are used, so that `dbx --help` is fast.
"""

from typing import TYPE_CHECKING

from dropbox_client.lazy import import_names

if TYPE_CHECKING:
    from dropbox_client.async_client import (
        AsyncClient,
    )
    from dropbox_client.client import (
        Client,
    )
    from dropbox_client.errors import (
        ApiError,
        ClientError,
        Corrupt,
        FieldError,
        FileChanged,
        InvalidResponse,
        LocalExists,
        NotSignedIn,
        Stopped,
        TransferFailed,
        Unreachable,
        Unreadable,
    )
    from dropbox_client.models import (
        KEEP,
        Account,
        AccountKind,
        Activity,
        Capabilities,
        Chunk,
        CompletedUpload,
        CompletedUploadItem,
        Contact,
        CreatedPersonalToken,
        CreatedUpload,
        CreatedUploadItem,
        CreatedWebhook,
        CreateUpload,
        Delivery,
        DeliveryState,
        Destination,
        DestinationState,
        Device,
        DownloadItem,
        DownloadResult,
        DownloadUrl,
        Event,
        EventActor,
        EventList,
        File,
        FileRef,
        FileState,
        FingerprintHit,
        Grant,
        GrantedRole,
        Keep,
        Link,
        LinkMode,
        ManagedUser,
        NodeState,
        OnConflict,
        Order,
        OwnShare,
        PersonalToken,
        Processing,
        ProcessingState,
        PublicFile,
        PublicLink,
        ReceivedFile,
        RetryLater,
        Revision,
        Scope,
        SecondFactorProposal,
        SignedPart,
        SignInSession,
        TreeEntry,
        Upload,
        UploadState,
        Webhook,
    )
    from dropbox_client.problems import (
        AddressRefused,
        BodyTooLarge,
        CannotShareWith,
        ChunkMismatch,
        ContentDamaged,
        ContentQuarantined,
        CrossOwner,
        CursorExpired,
        DestinationRefused,
        DigestMismatch,
        EmailTaken,
        FingerprintMismatch,
        FingerprintRequired,
        Forbidden,
        IdempotencyMismatch,
        InternalError,
        IntoItself,
        InvalidCredentials,
        InvalidCursor,
        InvalidMailToken,
        InvalidName,
        InvalidRefreshToken,
        InvalidRequest,
        LinkNotFor,
        LinkPasswordRequired,
        MalformedJson,
        MethodNotAllowed,
        NameTaken,
        NotAFile,
        NotAFolder,
        NotFound,
        NothingToPlace,
        NotQuarantined,
        OidcFailed,
        ParentGone,
        PartsMissing,
        PreconditionFailed,
        ProcessingRunning,
        QuotaExceeded,
        RateLimited,
        RegistrationClosed,
        RevisionConflict,
        RootFolder,
        SecondFactorRequired,
        SecondFactorState,
        SizeNotAllowed,
        StoreFull,
        TooManyDevices,
        TooManyFiles,
        TooManyUploads,
        TooManyWebhooks,
        Unauthenticated,
        Unavailable,
        UploadCompleting,
        UploadEnded,
        UploadExpired,
        UploadFailed,
        WeakPassword,
    )
    from dropbox_client.tokens import (
        TokenFile,
        TokenMemory,
        Tokens,
        TokenStore,
    )
    from dropbox_client.transfer.content import (
        Content,
    )
    from dropbox_client.transfer.progress import (
        OnProgress,
    )
else:
    __getattr__ = import_names(
        __name__,
        {
            "async_client": "AsyncClient",
            "client": "Client",
            "errors": (
                "ApiError ClientError Corrupt FieldError FileChanged InvalidResponse LocalExists NotSignedIn Stopped "
                "TransferFailed Unreachable Unreadable "
            ),
            "models": (
                "KEEP Account AccountKind Activity Capabilities Chunk CompletedUpload CompletedUploadItem Contact "
                "CreateUpload CreatedPersonalToken CreatedUpload CreatedUploadItem CreatedWebhook Delivery "
                "DeliveryState Destination DestinationState DownloadItem DownloadResult DownloadUrl Event EventList "
                "File FileRef FileState FingerprintHit Grant GrantedRole Keep Link LinkMode ManagedUser NodeState "
                "OnConflict Order PersonalToken Processing OwnShare ProcessingState PublicFile PublicLink "
                "ReceivedFile Device RetryLater Revision Scope SecondFactorProposal SignInSession SignedPart "
                "TreeEntry Upload UploadState Webhook EventActor "
            ),
            "problems": (
                "InvalidRequest MalformedJson BodyTooLarge DigestMismatch Unauthenticated Forbidden RateLimited "
                "NotFound MethodNotAllowed InternalError Unavailable StoreFull IdempotencyMismatch "
                "PreconditionFailed EmailTaken RegistrationClosed InvalidCredentials InvalidRefreshToken "
                "SecondFactorRequired WeakPassword InvalidMailToken SecondFactorState OidcFailed QuotaExceeded "
                "TooManyFiles InvalidName NameTaken NotAFolder NotAFile RevisionConflict ParentGone IntoItself "
                "RootFolder CrossOwner ContentQuarantined ContentDamaged CannotShareWith LinkPasswordRequired "
                "LinkNotFor ProcessingRunning NotQuarantined InvalidCursor CursorExpired AddressRefused "
                "TooManyWebhooks TooManyDevices SizeNotAllowed TooManyUploads FingerprintRequired "
                "FingerprintMismatch ChunkMismatch PartsMissing UploadCompleting UploadEnded UploadExpired "
                "UploadFailed DestinationRefused NothingToPlace "
            ),
            "tokens": "TokenFile TokenMemory TokenStore Tokens",
            "transfer.content": "Content",
            "transfer.progress": "OnProgress",
        },
    )

__all__ = [
    "KEEP",
    "Account",
    "AccountKind",
    "Activity",
    "AddressRefused",
    "ApiError",
    "AsyncClient",
    "BodyTooLarge",
    "CannotShareWith",
    "Capabilities",
    "Chunk",
    "ChunkMismatch",
    "Client",
    "ClientError",
    "CompletedUpload",
    "CompletedUploadItem",
    "Contact",
    "Content",
    "ContentDamaged",
    "ContentQuarantined",
    "Corrupt",
    "CreateUpload",
    "CreatedPersonalToken",
    "CreatedUpload",
    "CreatedUploadItem",
    "CreatedWebhook",
    "CrossOwner",
    "CursorExpired",
    "Delivery",
    "DeliveryState",
    "Destination",
    "DestinationRefused",
    "DestinationState",
    "Device",
    "DigestMismatch",
    "DownloadItem",
    "DownloadResult",
    "DownloadUrl",
    "EmailTaken",
    "Event",
    "EventActor",
    "EventList",
    "FieldError",
    "File",
    "FileChanged",
    "FileRef",
    "FileState",
    "FingerprintHit",
    "FingerprintMismatch",
    "FingerprintRequired",
    "Forbidden",
    "Grant",
    "GrantedRole",
    "IdempotencyMismatch",
    "InternalError",
    "IntoItself",
    "InvalidCredentials",
    "InvalidCursor",
    "InvalidMailToken",
    "InvalidName",
    "InvalidRefreshToken",
    "InvalidRequest",
    "InvalidResponse",
    "Keep",
    "Link",
    "LinkMode",
    "LinkNotFor",
    "LinkPasswordRequired",
    "LocalExists",
    "MalformedJson",
    "ManagedUser",
    "MethodNotAllowed",
    "NameTaken",
    "NodeState",
    "NotAFile",
    "NotAFolder",
    "NotFound",
    "NotQuarantined",
    "NotSignedIn",
    "NothingToPlace",
    "OidcFailed",
    "OnConflict",
    "OnProgress",
    "Order",
    "OwnShare",
    "ParentGone",
    "PartsMissing",
    "PersonalToken",
    "PreconditionFailed",
    "Processing",
    "ProcessingRunning",
    "ProcessingState",
    "PublicFile",
    "PublicLink",
    "QuotaExceeded",
    "RateLimited",
    "ReceivedFile",
    "RegistrationClosed",
    "RetryLater",
    "Revision",
    "RevisionConflict",
    "RootFolder",
    "Scope",
    "SecondFactorProposal",
    "SecondFactorRequired",
    "SecondFactorState",
    "SignInSession",
    "SignedPart",
    "SizeNotAllowed",
    "Stopped",
    "StoreFull",
    "TokenFile",
    "TokenMemory",
    "TokenStore",
    "Tokens",
    "TooManyDevices",
    "TooManyFiles",
    "TooManyUploads",
    "TooManyWebhooks",
    "TransferFailed",
    "TreeEntry",
    "Unauthenticated",
    "Unavailable",
    "Unreachable",
    "Unreadable",
    "Upload",
    "UploadCompleting",
    "UploadEnded",
    "UploadExpired",
    "UploadFailed",
    "UploadState",
    "WeakPassword",
    "Webhook",
]


def __dir__() -> list[str]:
    return __all__
