"""One error tree; `serving/api/errors.py` turns it into OpenAI's error body in one place.

StepwellError
├── ConfigError              the configuration is wrong; never reaches a client
├── ClientError              the request is at fault; no tier was asked
│   ├── InvalidRequest       400
│   ├── Unauthenticated      401
│   ├── Forbidden            403
│   ├── NotFound             404
│   ├── MethodNotAllowed     405
│   ├── PayloadTooLarge      413
│   ├── UnsupportedMediaType 415
│   └── RateLimited          429, with retry_after
├── ServiceError             Stepwell could not serve a good request
│   ├── Overloaded           503, with retry_after
│   ├── NoTierAnswered       502
│   └── DeadlineExceeded     504
└── TierError                one attempt at one tier failed; the cascade decides what follows
    ├── TierRejected         the tier refused the request itself (4xx): a retry cannot help
    ├── TierMisconfigured    credentials, billing or a wrong model name: a retry cannot help
    ├── TierRateLimited      429 of the tier
    │   ├── TierQueueFull    as many calls wait for the tier as may; this one never left
    │   ├── TierQueueTimeout it waited for its turn too long; it never left
    │   └── TierPaused       the tier asked for a pause that is not over; it never left
    ├── TierUnavailable      refused connection, 5xx, 529: a transport fault
    │   └── TierCircuitOpen  the tier failed again and again; it is left alone for a while
    ├── TierTimeout          past the attempt's deadline
    └── TierProtocolError    the tier's answer does not parse or broke off
"""

from typing import ClassVar


class StepwellError(Exception):
    """Base of every error that Stepwell raises on purpose."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "api_error"
    code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """`retry_after` is in seconds; `param` names the request field at fault."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or type(self).code
        self.retry_after = retry_after


class ConfigError(StepwellError):
    """The configuration is wrong; the message says file, line, key and what is allowed."""


class ClientError(StepwellError):
    type = "invalid_request_error"
    status = 400


class InvalidRequest(ClientError):
    pass


class Unauthenticated(ClientError):
    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class Forbidden(ClientError):
    status = 403
    type = "permission_error"
    code = "insufficient_permissions"


class NotFound(ClientError):
    status = 404
    code = "not_found"


class MethodNotAllowed(ClientError):
    status = 405
    code = "method_not_allowed"


class PayloadTooLarge(ClientError):
    status = 413
    code = "payload_too_large"


class UnsupportedMediaType(ClientError):
    status = 415
    code = "unsupported_media_type"


class RateLimited(ClientError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class ServiceError(StepwellError):
    status = 503


class Overloaded(ServiceError):
    code = "overloaded"


class NoTierAnswered(ServiceError):
    status = 502
    code = "no_tier_answered"


class DeadlineExceeded(ServiceError):
    status = 504
    code = "deadline_exceeded"


class TierError(StepwellError):
    """An attempt at a tier failed. `retryable`: the same call may succeed a moment later."""

    status = 502
    code = "tier_error"
    retryable: ClassVar[bool] = False


class TierRejected(TierError):
    status = 400
    type = "invalid_request_error"
    code = "tier_rejected"


class TierMisconfigured(TierError):
    code = "tier_misconfigured"


class TierRateLimited(TierError):
    status = 429
    type = "rate_limit_error"
    code = "tier_rate_limited"


class TierQueueFull(TierRateLimited):
    code = "tier_queue_full"


class TierQueueTimeout(TierRateLimited):
    code = "tier_queue_timeout"


class TierPaused(TierRateLimited):
    code = "tier_paused"


class TierUnavailable(TierError):
    status = 503
    code = "tier_unavailable"
    retryable = True


class TierCircuitOpen(TierUnavailable):
    code = "tier_circuit_open"
    retryable = False


class TierTimeout(TierError):
    status = 504
    code = "tier_timeout"


class TierProtocolError(TierError):
    code = "tier_protocol_error"
    retryable = True
