"""Claude Platform on AWS as a client meets it: requests signed with SigV4, in a workspace, and no key.

Each call is written down as IAM would see it: by which access key id, and for which action.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from starlette.requests import Request

from .errors import ApiError
from .faults import Endpoint

SCHEME = "AWS4-HMAC-SHA256"
SERVICE = "aws-external-anthropic"
SKEW = timedelta(minutes=5)
"""How old a signature may be (Signature Version 4 reference); by the machine's own clock, which the signer reads."""
ACTIONS: Mapping[Endpoint, str] = {
    "create": "CreateBatchInference",
    "list": "ListBatchInferences",
    "retrieve": "GetBatchInference",
    "results": "GetBatchInference",
    "cancel": "CancelBatchInference",
    "delete": "DeleteBatchInference",
    "messages": "CreateInference",
    "count_tokens": "CountTokens",
    "models": "GetModel",
}
"""Endpoint → IAM action (IAM actions for Claude Platform on AWS)."""
SECRET, SECRETS = "local", {"desk": "desk"}
"""The secret access key of each function of the local cloud, and of a person."""
_AUTHORIZATION = re.compile(
    SCHEME
    + r" Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=(\w{64})"
)


def is_signed(request: Request) -> bool:
    """Tell whether a request carries a signature rather than a key."""
    return request.headers.get("authorization", "").startswith(SCHEME)


async def signer(request: Request) -> str:
    """Return the access key id that signed a request, having made the signature again with its secret.

    Raises:
        ApiError: 403 where the signature is not that of this very request; the words are assumed.
    """
    found = _AUTHORIZATION.fullmatch(request.headers["authorization"])
    if found is None or found[4] != SERVICE:
        raise ApiError(403, "The authorization header is malformed.")
    key_id, _, region, service, names, signature = found.groups()
    moment = request.headers.get("x-amz-date", "")
    told = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    body = await request.body()
    must = {"host", "x-amz-date", "anthropic-workspace-id"}
    headers = {name: request.headers[name] for name in names.split(";") if name in request.headers}
    if abs(datetime.now(UTC) - told) > SKEW or not must <= headers.keys():
        raise ApiError(403, "Signature expired, or what must be signed is not.")
    if headers.get("x-amz-content-sha256", digest := hashlib.sha256(body).hexdigest()) != digest:
        raise ApiError(403, "The body is not the one that was signed.")
    again = AWSRequest(method=request.method, url=str(request.url), headers=headers, data=body)
    again.context["timestamp"] = moment
    auth = SigV4Auth(Credentials(key_id, SECRETS.get(key_id, SECRET)), service, region)
    if auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again) != signature:
        raise ApiError(403, "The request signature we calculated does not match the signature you provided.")
    return key_id
