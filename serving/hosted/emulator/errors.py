"""Errors as Anthropic's API answers them."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from serving.errors import (
    InvalidRequest,
    TierError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class ApiError(Exception):
    """One error answer: its status, and the body without the request id."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.headers, self.details = dict(headers or {}), details

    def body(self, request_id: str) -> dict[str, Any]:
        error: dict[str, Any] = {"type": TYPES[self.status], "message": self.message}
        if self.details is not None:
            error["details"] = dict(self.details)
        return {"type": "error", "error": error, "request_id": request_id}


def invalid(message: str) -> ApiError:
    return ApiError(400, message)


def from_validation(error: ValidationError) -> ApiError:
    """The first thing that is wrong with a request's shape, as `where.it.is: what is wrong`."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return invalid(f"{where}: {message}" if where else message)


def from_backend(error: TierError | InvalidRequest) -> ApiError:
    """What the API would answer when the model behind it fails."""
    if isinstance(error, TierRejected | InvalidRequest):
        return invalid(error.message)
    if isinstance(error, TierRateLimited):
        return ApiError(429, error.message, headers={"retry-after": "1"})
    if isinstance(error, TierTimeout):
        return ApiError(504, error.message)
    if isinstance(error, TierUnavailable):
        return ApiError(529, "Overloaded")
    return ApiError(500, "Internal server error")
