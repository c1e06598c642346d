"""Sends requests to AWS services, one for each of many objects if needed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Union

from rolerunner.errors import FieldError, ServiceFailed, StepError, UnexpectedResponse
from rolerunner.iam.aws_errors import AwsError
from rolerunner.iam.denials import explain_error
from rolerunner.storage.concurrency import map_concurrently
from rolerunner.storage.protocol import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rolerunner.actions.base import StepContext
    from rolerunner.actions.source_objects import SourceObjects
    from rolerunner.model import Permission, Role, S3Uri
    from rolerunner.storage.pacing import Pacer
    from rolerunner.storage.protocol import ObjectInfo

    ObjectRequest = Callable[[Any, S3Uri, ObjectInfo], object]
    """Takes boto3's S3 client of the role, an object's URI and what its listing says."""

_CONCURRENT_REQUESTS = 32
"""Half of the connections that a client keeps open."""


def open_client(
    context: StepContext, role: Role, service: str, region: str = "", *, retry: bool = True
) -> Any:
    """Returns boto3's client of the role for a service; with ``retry=False`` it sends once."""
    from botocore.config import Config  # noqa: PLC0415 - checking a spec needs no clients

    once = None if retry else Config(retries={"mode": "standard", "total_max_attempts": 1})
    return context.sessions.client(role, service, region=region, config=once)


def open_presigner(context: StepContext, role: Role, bucket: str) -> Callable[..., str]:
    """Returns boto3's ``generate_presigned_url`` of the role, for the bucket's region.

    Version 4 is the only signature for KMS and for the regions of today; older botocore would
    choose version 2 where a region still has it.
    """
    from botocore.config import Config  # noqa: PLC0415 - checking a spec needs no clients

    region = context.sessions.find_bucket_region(role, bucket)
    config = Config(signature_version="s3v4")
    presign: Callable[..., str] = context.sessions.client(
        role, "s3", region=region, config=config
    ).generate_presigned_url
    return presign


@contextmanager
def translate_errors(
    context: StepContext,
    role: Role,
    request: str,
    needed: Callable[[], Sequence[Permission]] = tuple,
) -> Iterator[None]:
    """Raises botocore's errors as StepErrors; ``request`` names what was sent.

    ``needed`` gives the permissions of the request, of which a refusal names the missing one.
    """
    from botocore.exceptions import (  # noqa: PLC0415
        BotoCoreError,
        ClientError,
        ParamValidationError,
    )

    from rolerunner.sessions.connection_errors import (  # noqa: PLC0415
        CONNECTION_HINTS,
        describe_connection_error,
    )
    from rolerunner.sessions.foreign_responses import ForeignResponse  # noqa: PLC0415

    try:
        yield
    except ClientError as error:
        caller = context.sessions.session_arn(role)
        raise explain_error(
            AwsError.from_client_error(error), role, caller=caller, needed=needed()
        ) from error
    except ParamValidationError as error:
        raise FieldError(f"{request}: {error}") from None
    except ForeignResponse as error:
        raise UnexpectedResponse(f"{request}: {error}") from error
    except BotoCoreError as error:
        name, text = type(error).__name__, describe_connection_error(error)
        hint = CONNECTION_HINTS.get(name, "")
        raise ServiceFailed(f"{request}: {text}", hint=hint, type=name) from error


def read_member(answer: Any, request: str, *path: str) -> Any:
    """Returns a member of an answer, which may lie in others.

    Raises UnexpectedResponse if the answer lacks it, as those of other servers may.
    """
    for name in path:
        if not isinstance(answer, Mapping) or name not in answer:
            raise UnexpectedResponse(f"{request}: the response has no {'.'.join(path)}")
        answer = answer[name]
    return answer


def check_boto3_knows(
    client: Any, operation: str, parameters: Iterable[str], fields: Mapping[str, str]
) -> None:
    """Raises FieldError for a parameter that the installed boto3 is too old for.

    ``fields`` has the field of each parameter that is younger than some boto3.
    """
    from botocore import __version__  # noqa: PLC0415 - checking a spec needs no clients

    known = client.meta.service_model.operation_model(operation).input_shape.members
    unknown = [name for name in parameters if name not in known]
    if unknown:
        raise FieldError(
            f"the installed botocore {__version__} is too old for"
            f" '{fields.get(unknown[0], unknown[0])}'",
            hint="install a newer boto3, in Glue by a newer runtime, or leave the field out",
        )


def request_each(
    source: SourceObjects,
    request: ObjectRequest,
    context: StepContext,
    pacer: Pacer,
    *,
    role_field: str = "role",
) -> Iterator[Outcome]:
    """Sends one request for each object, many at a time, and yields their outcomes.

    ``request(client, uri, info)`` sends it by boto3's S3 client of the role; an error that it
    raises fails its object alone. Objects that ``source`` could not look up stay failed.
    """
    role = context.roles[role_field]
    client = open_client(context, role, "s3")

    def send_request(info: ObjectInfo) -> Outcome:
        uri = source.objects.uri(info)
        pacer.pace_request(context.cancel)
        try:
            with translate_errors(context, role, str(uri)):
                request(client, uri, info)
        except StepError as error:
            return Outcome(uri, status="failed", error=error)
        return Outcome(uri, info.size, etag=info.etag, version=info.version, info=info)

    items: Iterable[Union[ObjectInfo, Outcome]] = chain(source.refused, source.objects)
    yield from map_concurrently(items, send_request, context.cancel, _CONCURRENT_REQUESTS)
