"""What S3 errors mean: which pass by themselves, and one sentence for each that does not."""

from typing import Final

from botocore.exceptions import (
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's, for an endpoint that cannot be reached
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ResponseStreamingError,
    SSLError,
)

from anogen_core.errors import AwayStoreError, FullStoreError, RefusedStoreError, StorageError

TAKEN: Final = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})
"""Codes of a create-only write that found an object, perhaps its own."""

_PASSING = frozenset(
    {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "ThrottlingException", "BadDigest"}
    | {"ConditionalRequestConflict", "OperationAborted", "RequestLimitExceeded", "IncompleteBody"}
)
_NOT_IMPLEMENTED = 501
_INSUFFICIENT_STORAGE = 507
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_CREDENTIALS = "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for a server of your own, AWS_ENDPOINT_URL."
_FULL = frozenset({"507", "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"})
_REFUSED = frozenset({"AccessDenied", "403", "Forbidden", "AllAccessDisabled", "AccountProblem"})
_BAD_CREDENTIALS = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "AuthorizationHeaderMalformed",
        "401",
        "400",  # what is left of the codes above where an answer has no body, to HEAD
    }
)


def code_of(error: Exception) -> str:
    """Return the S3 error code (`NoSuchKey`), or the HTTP status where the server sent no code."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def is_missing(error: Exception) -> bool:
    """Return whether the object is not there."""
    return code_of(error) in {"NoSuchKey", "404", "NotFound"}


def may_pass(error: Exception) -> bool:
    """Return whether the same request may succeed later."""
    if isinstance(error, ClientError):
        status = _status_of(error)
        if _is_full(error):
            return False
        busy = status == _TOO_MANY_REQUESTS or (status >= _SERVER_ERROR and status != _NOT_IMPLEMENTED)
        return busy or code_of(error) in _PASSING
    if isinstance(error, SSLError):
        return False
    return isinstance(error, ConnectionError | HTTPClientError | IncompleteReadError | ResponseStreamingError)


def explain(error: Exception, *, where: str, bucket: str) -> StorageError:
    """Return one clear sentence, and what to do, for an S3 error that will not pass."""
    code = code_of(error)
    if _is_full(error):
        return FullStoreError(
            f"{where}: the store is full, or its quota is used up ({code}). Free some space and run again; finished "
            "shards are kept."
        )
    if code == "NoSuchBucket":
        reason = f"there is no bucket {bucket!r}. Create it, or correct the URI or AWS_ENDPOINT_URL."
    elif code in _REFUSED:
        reason = f"access denied: the credentials have no permission for this. {_CREDENTIALS}"
    elif code in _BAD_CREDENTIALS:
        reason = f"the server does not accept the credentials ({code}). {_CREDENTIALS}"
    elif isinstance(error, NoCredentialsError | PartialCredentialsError):
        reason = f"there are no complete S3 credentials. {_CREDENTIALS}"
    elif code == "RequestTimeTooSkewed":
        reason = "the clocks of this machine and of the server differ too much. Set both by NTP and run again."
    elif code in {"NotImplemented", "501"}:
        reason = "the server cannot do what is needed (create-only writes). Use another S3 server."
    elif may_pass(error):
        return AwayStoreError(f"{where}: the server does not answer ({error}). Check AWS_ENDPOINT_URL and the network.")
    else:
        return StorageError(
            f"{where}: the request failed: {error} Finished shards are kept; correct the cause and run again."
        )
    return RefusedStoreError(f"{where}: {reason}")


def _status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _is_full(error: Exception) -> bool:
    full = code_of(error) in _FULL
    return full or (isinstance(error, ClientError) and _status_of(error) == _INSUFFICIENT_STORAGE)
