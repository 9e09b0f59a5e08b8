"""Claude Platform on AWS: no key; every request is signed with AWS credentials (SigV4), and belongs to a workspace."""

import hashlib
from dataclasses import dataclass
from typing import Any

import anthropic
import boto3
import httpx2
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from nightshift.errors import Unauthorized

SERVICE = "aws-external-anthropic"
"""What requests are signed for (Claude Platform on AWS, IAM policies)."""
DIGEST = "X-Amz-Content-SHA256"
"""The header in which a signature is told the digest of the body; otherwise the signer would want the body itself."""


@dataclass(frozen=True, slots=True)
class AwsWorkspace:
    """A workspace, and whose credentials sign: the function's role, or the person at the command line."""

    id: str
    """`wrkspc_…`"""
    session: boto3.Session | None = None
    """None: what the environment says, which in a function is its role."""

    def client(self, **options: Any) -> anthropic.Anthropic:
        """Return a client of the SDK that signs; `options` are those that it has in common with the one with a key.

        Raises:
            Unauthorized: there are no credentials, or no region to sign for.
        """
        session = self.session or boto3.Session()
        credentials, region = session.get_credentials(), session.region_name
        if credentials is None or region is None:
            raise Unauthorized("There are no AWS credentials, or no region, to sign requests with.")
        return _SigningClient(credentials, workspace_id=self.id, aws_region=region, **options)


class _SigningClient(anthropic.AnthropicAWS):
    """The SDK's own client, except for one thing: to sign a body, that one reads it whole into memory.

    A plan may have 256 MB, and keeps back its last two bytes while its sender may be dead (docs/decisions/0013). So its
    digest is made in one reading, and it is sent in another.
    """

    def __init__(self, credentials: Credentials, *, aws_region: str, **options: Any) -> None:
        super().__init__(aws_region=aws_region, **options)
        self._signer = SigV4Auth(credentials, SERVICE, aws_region)

    def _prepare_request(self, request: httpx2.Request) -> None:
        digest = hashlib.sha256()
        for block in request.stream:  # type: ignore[union-attr] # this client is not the asynchronous one
            digest.update(block)
        request.headers[DIGEST] = digest.hexdigest()
        # A proxy on the way may take `connection` off.
        headers = {name: value for name, value in request.headers.items() if name != "connection"}
        unsigned = AWSRequest(method=request.method, url=str(request.url), headers=headers)
        self._signer.add_auth(unsigned)
        request.headers.update(dict(unsigned.headers.items()))
