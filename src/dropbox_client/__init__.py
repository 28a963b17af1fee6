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

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dropbox_client.async_client import (
        AsyncClient as AsyncClient,
    )
    from dropbox_client.client import (
        Client as Client,
    )
    from dropbox_client.errors import (
        ApiError as ApiError,
    )
    from dropbox_client.errors import (
        ClientError as ClientError,
    )
    from dropbox_client.errors import (
        Corrupt as Corrupt,
    )
    from dropbox_client.errors import (
        FieldError as FieldError,
    )
    from dropbox_client.errors import (
        FileChanged as FileChanged,
    )
    from dropbox_client.errors import (
        LocalExists as LocalExists,
    )
    from dropbox_client.errors import (
        NotSignedIn as NotSignedIn,
    )
    from dropbox_client.errors import (
        Stopped as Stopped,
    )
    from dropbox_client.errors import (
        TransferFailed as TransferFailed,
    )
    from dropbox_client.errors import (
        Unreachable as Unreachable,
    )
    from dropbox_client.errors import (
        Unreadable as Unreadable,
    )
    from dropbox_client.models import (
        KEEP as KEEP,
    )
    from dropbox_client.models import (
        Account as Account,
    )
    from dropbox_client.models import (
        AccountKind as AccountKind,
    )
    from dropbox_client.models import (
        Activity as Activity,
    )
    from dropbox_client.models import (
        Capabilities as Capabilities,
    )
    from dropbox_client.models import (
        Chunk as Chunk,
    )
    from dropbox_client.models import (
        CompletedUpload as CompletedUpload,
    )
    from dropbox_client.models import (
        CompletedUploadItem as CompletedUploadItem,
    )
    from dropbox_client.models import (
        CreatedPersonalToken as CreatedPersonalToken,
    )
    from dropbox_client.models import (
        CreatedUpload as CreatedUpload,
    )
    from dropbox_client.models import (
        CreatedUploadItem as CreatedUploadItem,
    )
    from dropbox_client.models import (
        CreatedWebhook as CreatedWebhook,
    )
    from dropbox_client.models import (
        CreateUpload as CreateUpload,
    )
    from dropbox_client.models import (
        Delivery as Delivery,
    )
    from dropbox_client.models import (
        DeliveryState as DeliveryState,
    )
    from dropbox_client.models import (
        Destination as Destination,
    )
    from dropbox_client.models import (
        DestinationState as DestinationState,
    )
    from dropbox_client.models import (
        DownloadUrl as DownloadUrl,
    )
    from dropbox_client.models import (
        Event as Event,
    )
    from dropbox_client.models import (
        EventList as EventList,
    )
    from dropbox_client.models import (
        File as File,
    )
    from dropbox_client.models import (
        FileRef as FileRef,
    )
    from dropbox_client.models import (
        FingerprintHit as FingerprintHit,
    )
    from dropbox_client.models import (
        Grant as Grant,
    )
    from dropbox_client.models import (
        GrantedRole as GrantedRole,
    )
    from dropbox_client.models import (
        Keep as Keep,
    )
    from dropbox_client.models import (
        Link as Link,
    )
    from dropbox_client.models import (
        LinkMode as LinkMode,
    )
    from dropbox_client.models import (
        ManagedUser as ManagedUser,
    )
    from dropbox_client.models import (
        OnConflict as OnConflict,
    )
    from dropbox_client.models import (
        Order as Order,
    )
    from dropbox_client.models import (
        PersonalToken as PersonalToken,
    )
    from dropbox_client.models import (
        Processing as Processing,
    )
    from dropbox_client.models import (
        ProcessingState as ProcessingState,
    )
    from dropbox_client.models import (
        RetryLater as RetryLater,
    )
    from dropbox_client.models import (
        Revision as Revision,
    )
    from dropbox_client.models import (
        Scope as Scope,
    )
    from dropbox_client.models import (
        SecondFactorProposal as SecondFactorProposal,
    )
    from dropbox_client.models import (
        SignedPart as SignedPart,
    )
    from dropbox_client.models import (
        SignInSession as SignInSession,
    )
    from dropbox_client.models import (
        Upload as Upload,
    )
    from dropbox_client.models import (
        UploadState as UploadState,
    )
    from dropbox_client.models import (
        Webhook as Webhook,
    )
    from dropbox_client.problems import (
        AddressRefused as AddressRefused,
    )
    from dropbox_client.problems import (
        BodyTooLarge as BodyTooLarge,
    )
    from dropbox_client.problems import (
        CannotShareWith as CannotShareWith,
    )
    from dropbox_client.problems import (
        ChunkMismatch as ChunkMismatch,
    )
    from dropbox_client.problems import (
        ContentDamaged as ContentDamaged,
    )
    from dropbox_client.problems import (
        ContentQuarantined as ContentQuarantined,
    )
    from dropbox_client.problems import (
        CrossOwner as CrossOwner,
    )
    from dropbox_client.problems import (
        CursorExpired as CursorExpired,
    )
    from dropbox_client.problems import (
        DestinationRefused as DestinationRefused,
    )
    from dropbox_client.problems import (
        EmailTaken as EmailTaken,
    )
    from dropbox_client.problems import (
        FingerprintMismatch as FingerprintMismatch,
    )
    from dropbox_client.problems import (
        FingerprintRequired as FingerprintRequired,
    )
    from dropbox_client.problems import (
        Forbidden as Forbidden,
    )
    from dropbox_client.problems import (
        IdempotencyMismatch as IdempotencyMismatch,
    )
    from dropbox_client.problems import (
        InternalError as InternalError,
    )
    from dropbox_client.problems import (
        IntoItself as IntoItself,
    )
    from dropbox_client.problems import (
        InvalidCredentials as InvalidCredentials,
    )
    from dropbox_client.problems import (
        InvalidCursor as InvalidCursor,
    )
    from dropbox_client.problems import (
        InvalidMailToken as InvalidMailToken,
    )
    from dropbox_client.problems import (
        InvalidName as InvalidName,
    )
    from dropbox_client.problems import (
        InvalidRefreshToken as InvalidRefreshToken,
    )
    from dropbox_client.problems import (
        InvalidRequest as InvalidRequest,
    )
    from dropbox_client.problems import (
        LinkNotFor as LinkNotFor,
    )
    from dropbox_client.problems import (
        LinkPasswordRequired as LinkPasswordRequired,
    )
    from dropbox_client.problems import (
        MalformedJson as MalformedJson,
    )
    from dropbox_client.problems import (
        MethodNotAllowed as MethodNotAllowed,
    )
    from dropbox_client.problems import (
        NameTaken as NameTaken,
    )
    from dropbox_client.problems import (
        NotAFile as NotAFile,
    )
    from dropbox_client.problems import (
        NotAFolder as NotAFolder,
    )
    from dropbox_client.problems import (
        NotFound as NotFound,
    )
    from dropbox_client.problems import (
        NothingToPlace as NothingToPlace,
    )
    from dropbox_client.problems import (
        NotQuarantined as NotQuarantined,
    )
    from dropbox_client.problems import (
        OidcFailed as OidcFailed,
    )
    from dropbox_client.problems import (
        ParentGone as ParentGone,
    )
    from dropbox_client.problems import (
        PartsMissing as PartsMissing,
    )
    from dropbox_client.problems import (
        PreconditionFailed as PreconditionFailed,
    )
    from dropbox_client.problems import (
        ProcessingRunning as ProcessingRunning,
    )
    from dropbox_client.problems import (
        QuotaExceeded as QuotaExceeded,
    )
    from dropbox_client.problems import (
        RateLimited as RateLimited,
    )
    from dropbox_client.problems import (
        RegistrationClosed as RegistrationClosed,
    )
    from dropbox_client.problems import (
        RevisionConflict as RevisionConflict,
    )
    from dropbox_client.problems import (
        RootFolder as RootFolder,
    )
    from dropbox_client.problems import (
        SecondFactorRequired as SecondFactorRequired,
    )
    from dropbox_client.problems import (
        SecondFactorState as SecondFactorState,
    )
    from dropbox_client.problems import (
        SizeNotAllowed as SizeNotAllowed,
    )
    from dropbox_client.problems import (
        TooManyFiles as TooManyFiles,
    )
    from dropbox_client.problems import (
        TooManyUploads as TooManyUploads,
    )
    from dropbox_client.problems import (
        TooManyWebhooks as TooManyWebhooks,
    )
    from dropbox_client.problems import (
        Unauthenticated as Unauthenticated,
    )
    from dropbox_client.problems import (
        Unavailable as Unavailable,
    )
    from dropbox_client.problems import (
        UploadCompleting as UploadCompleting,
    )
    from dropbox_client.problems import (
        UploadEnded as UploadEnded,
    )
    from dropbox_client.problems import (
        UploadExpired as UploadExpired,
    )
    from dropbox_client.problems import (
        UploadFailed as UploadFailed,
    )
    from dropbox_client.problems import (
        WeakPassword as WeakPassword,
    )
    from dropbox_client.tokens import (
        TokenFile as TokenFile,
    )
    from dropbox_client.tokens import (
        TokenMemory as TokenMemory,
    )
    from dropbox_client.tokens import (
        Tokens as Tokens,
    )
    from dropbox_client.tokens import (
        TokenStore as TokenStore,
    )
    from dropbox_client.transfer.content import (
        Content as Content,
    )
    from dropbox_client.transfer.progress import (
        OnProgress as OnProgress,
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
    "DownloadUrl",
    "EmailTaken",
    "Event",
    "EventList",
    "FieldError",
    "File",
    "FileChanged",
    "FileRef",
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
    "ParentGone",
    "PartsMissing",
    "PersonalToken",
    "PreconditionFailed",
    "Processing",
    "ProcessingRunning",
    "ProcessingState",
    "QuotaExceeded",
    "RateLimited",
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
    "TokenFile",
    "TokenMemory",
    "TokenStore",
    "Tokens",
    "TooManyFiles",
    "TooManyUploads",
    "TooManyWebhooks",
    "TransferFailed",
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

_NAMES = {
    "async_client": "AsyncClient",
    "client": "Client",
    "errors": (
        "ApiError ClientError Corrupt FieldError FileChanged LocalExists NotSignedIn Stopped TransferFailed "
        "Unreachable Unreadable "
    ),
    "models": (
        "KEEP Account AccountKind Activity PersonalToken Capabilities Chunk CompletedUpload CompletedUploadItem "
        "CreateUpload CreatedPersonalToken CreatedUpload CreatedUploadItem CreatedWebhook Delivery "
        "DeliveryState Destination DestinationState DownloadUrl Event EventList File FileRef FingerprintHit "
        "Grant GrantedRole Keep Link LinkMode ManagedUser OnConflict Order Processing "
        "ProcessingState RetryLater Revision Scope SecondFactorProposal SignInSession SignedPart "
        "Upload UploadState Webhook "
    ),
    "problems": (
        "InvalidRequest MalformedJson BodyTooLarge Unauthenticated Forbidden RateLimited NotFound "
        "MethodNotAllowed InternalError Unavailable IdempotencyMismatch PreconditionFailed EmailTaken "
        "RegistrationClosed InvalidCredentials InvalidRefreshToken SecondFactorRequired WeakPassword "
        "InvalidMailToken SecondFactorState OidcFailed QuotaExceeded TooManyFiles InvalidName NameTaken "
        "NotAFolder NotAFile RevisionConflict ParentGone IntoItself RootFolder CrossOwner ContentQuarantined "
        "ContentDamaged CannotShareWith LinkPasswordRequired LinkNotFor ProcessingRunning NotQuarantined "
        "InvalidCursor CursorExpired AddressRefused TooManyWebhooks SizeNotAllowed TooManyUploads "
        "FingerprintRequired FingerprintMismatch ChunkMismatch PartsMissing UploadCompleting UploadEnded "
        "UploadExpired UploadFailed DestinationRefused NothingToPlace "
    ),
    "tokens": "TokenFile TokenMemory TokenStore Tokens",
    "transfer.content": "Content",
    "transfer.progress": "OnProgress",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
