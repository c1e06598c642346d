"""Refuses copies that would lose objects: two on one target, or a target that is a source."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Optional

from rolerunner.actions.base import StepContext
from rolerunner.errors import StepError, UnsafeKey
from rolerunner.model import S3Uri
from rolerunner.selection.collisions import Collision, find_collision
from rolerunner.selection.manifest import ObjectList, Origin
from rolerunner.selection.overlap import are_kept_apart, shared_folder
from rolerunner.spec.action_schema import FieldConflictError
from rolerunner.spec.expressions import Expression, Template
from rolerunner.spec.nested_templates import iter_templates
from rolerunner.storage.protocol import ObjectInfo, Storage

Targets = Callable[[], Iterable[tuple[ObjectInfo, S3Uri]]]
"""Yields each object to copy with its target, the same ones on each call."""
_PROBED = 5
"""Objects by which two names of buckets are seen to be names of one."""
_GLOB_CHARACTERS = frozenset("*?[]{}\\\0")


class OverlapError(FieldConflictError):
    """Source and target of a step overlap."""


def refuse_overlap(
    origin: Origin, target: Any, *, move: bool, listed: bool = False, renames: bool = False
) -> None:
    """Raises OverlapError if source and target overlap, unless the globs keep the two apart.

    Fields with expressions are compared as far as they are known. A copy of a prefix onto itself is
    allowed, as each object keeps its key and gets new metadata; a move onto itself is refused.
    So is a copy of a prefix onto itself if the step ``renames`` its objects, since the next run
    would take the copies for sources. ``listed`` is True if another step lists the source.
    """
    read, written = _location_of(origin.source), _location_of(target)
    if read is None or written is None:
        return
    if not (read.is_prefix or listed):
        onto_itself = not renames and read in (written, written.join(read.name))
    else:
        shared = shared_folder(read, written)
        onto_itself = shared == ""
        if shared and not any(
            _may_be_kept_apart(include, exclude, shared) for include, exclude in origin.globs
        ):
            source = (
                f"'objects', listed from {origin.source},"
                if listed
                else f"'source' {origin.source}"
            )
            places = (
                (f"'target' {target}", source)
                if len(written.key) > len(read.key)
                else (source, f"'target' {target}")
            )
            raise _overlap_error(*places, shared)
    if renames and onto_itself:
        raise OverlapError(
            "objects with new names cannot be stored in their source itself:"
            " the next run would rename them again",
            "name a target apart from the source",
        )
    if move and onto_itself:
        raise OverlapError("'move: true' onto itself would delete the source")


def _location_of(value: Any) -> Optional[S3Uri]:
    """Returns a field's location, with placeholders for expressions; None if not comparable.

    Equal expressions of one step have equal values, so a prefix of the text with placeholders is a
    prefix of every text that the template may become.
    """
    if isinstance(value, str):
        try:
            return S3Uri.parse(value)
        except ValueError:
            return None
    if not isinstance(value, Template):
        return value if isinstance(value, S3Uri) else None
    parts = (
        part.text.replace("/", "\1") if isinstance(part, Expression) else str(part)
        for part in value.parts
    )
    text = "".join(
        f"\0{part}\0" if isinstance(whole, Expression) else part
        for part, whole in zip(parts, value.parts)
    )
    bucket, slash, key = text.removeprefix("s3://").partition("/")
    # an expression at the end may become a folder, an object or nothing
    return S3Uri(bucket, key) if slash and not text.endswith("\0") else None


def _may_be_kept_apart(include: Any, exclude: Any, shared: str) -> bool:
    """Returns True if the globs keep the two apart, or may do so, given expressions."""
    globs = [include, exclude]
    if any(True for _ in iter_templates(globs)):
        return True
    return any(globs) if "\0" in shared else are_kept_apart(include, exclude, shared)


def _overlap_error(inner: str, outer: str, shared: str) -> OverlapError:
    exclude = f", or set exclude: ['{shared}**']" if _GLOB_CHARACTERS.isdisjoint(shared) else ""
    message = (
        f"{inner} lies inside {outer.rstrip(',')},"
        " so the step could read, overwrite or delete what it wrote"
    )
    return OverlapError(message, f"name a target apart from the source{exclude}")


def check_copies(
    objects: ObjectList,
    target: S3Uri,
    targets: Targets,
    *,
    move: bool,
    renames: bool = False,
    adds_suffix: bool = False,
) -> None:
    """Raises StepError if two objects have one target, or a target is another listed object.

    A sorted list of one prefix whose target lies elsewhere is not read: its targets differ as its
    keys do, unless the step ``renames`` its objects. A copy of a prefix onto itself keeps each key,
    unless the step ``adds_suffix``.
    """
    shared = shared_folder(objects.prefix, target)
    differ = objects.ascending and not objects.flat and not renames
    keeps_keys = shared == "" and not (move or adds_suffix)
    if differ and (shared is None or keeps_keys):
        return

    def names() -> Iterator[tuple[str, Optional[ObjectInfo]]]:
        for info, uri in targets():
            key = uri.key
            yield key, info
            if (info.bucket or objects.prefix.bucket) == target.bucket:
                if info.key != key:
                    yield info.key, None
                elif move:
                    raise StepError(
                        f"{objects.uri(info)}: a move onto itself would delete it",
                        hint="nothing was moved",
                        type="MoveOntoItself",
                    )

    found = find_collision(names)
    if found is not None:
        raise _collision_error(found, objects, target)


def _collision_error(found: Collision, objects: ObjectList, target: S3Uri) -> StepError:
    owners = [each for each in (found.one, found.other) if each is not None]
    one, *others = (_describe_origin(each, objects) for each in owners)
    place = S3Uri(target.bucket, found.name)
    if others:
        hint = "nothing was copied; copy them in separate steps, to different targets"
        return UnsafeKey(f"{one} and {others[0]} would both be {place}", hint=hint, type="SameKey")
    hint = "nothing was copied; name a target apart from the source"
    return StepError(
        f"{one} would be {place}, which is itself one of the objects to copy",
        hint=hint,
        type="TargetInSource",
    )


def _describe_origin(info: ObjectInfo, objects: ObjectList) -> str:
    return f"{objects.uri(info)}{f' (version {info.version})' if info.version else ''}"


def claim_targets(objects: ObjectList, targets: Targets, context: StepContext) -> None:
    """Raises UnsafeKey if another item of the step's for_each has the target of an object.

    Only the list is read.
    """
    claim_names(((str(uri), _describe_origin(info, objects)) for info, uri in targets()), context)


def claim_target(target: S3Uri, noun: str, context: StepContext) -> None:
    """Raises UnsafeKey if another item of the step's for_each makes the same object."""
    claim_names([(str(target), f"{noun} of item {context.workdir.name}")], context)


def claim_names(names: Iterable[tuple[str, str]], context: StepContext) -> None:
    """Raises UnsafeKey if another item of the step's for_each makes a file or object of that name.

    ``names`` are read only inside for_each; each comes with what it is made of.
    """
    if context.target_claims is None:
        return
    found = context.target_claims.claim(str(context.workdir), names)
    if found is not None:
        hint = (
            "nothing of this item was stored there; give each item its own target, such as one"
            " with ${{ item }}, or pass all to one step with 'objects'"
        )
        raise UnsafeKey(
            f"{found.one} and {found.other} would both be {found.name}", hint=hint, type="SameKey"
        )


def refuse_one_bucket(objects: ObjectList, target: S3Uri, storage: Storage, option: str) -> None:
    """Raises StepError if source and target overlap in one bucket that has two names.

    The name of an access point does not show its bucket. If objects of the source appear under the
    target's name with the same ETag and time, ``option`` would delete them.
    """
    if (
        not (is_access_point(target.bucket) or is_access_point(objects.prefix.bucket))
        or target.bucket == objects.prefix.bucket
    ):
        return
    if shared_folder(S3Uri(target.bucket, objects.prefix.key), target) is None:
        return
    folder = target.as_folder().key
    inside = (
        info
        for info in objects
        if not info.deleted and not info.bucket and info.key.startswith(folder)
    )
    probed = [
        _is_seen(info, S3Uri(target.bucket, info.key), storage) for info in islice(inside, _PROBED)
    ]
    if probed and all(probed):
        message = (
            f"{objects.prefix} and {target} show the same objects, so they seem to be the"
            f" same bucket: {option} would delete objects of the source"
        )
        raise StepError(
            message,
            hint="nothing was done; name a target apart from the source",
            type="TargetInSource",
        )


def is_access_point(bucket: str) -> bool:
    """Returns True for the ARN or alias of an access point, which does not show its bucket."""
    return ":" in bucket or bucket.endswith("-s3alias")


def _is_seen(info: ObjectInfo, uri: S3Uri, storage: Storage) -> bool:
    try:
        there = storage.head(uri)
    except StepError:
        return False
    return (there.etag, there.size, there.modified) == (info.etag, info.size, info.modified)
