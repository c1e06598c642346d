"""Random work that both rolerunner and another tool can do, and the command and step for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any, Optional

FOLDERS = ("", "", "docs/", "a b/", "ü/ñandú/", ".cache/", "x+y/", "deep/er/and/deeper/", "q=1&r/")
STEMS = ("part-1", "part-2", "a b", "ñ", "a+b", "100%", "it's", ".hidden", "UPPER", "tilde~", "#1")
SUFFIXES = (".csv", ".csv.gz", ".log", ".txt", "", ".json")
LONG = "/".join(letter * 200 for letter in "abcd") + "/long.csv"


@dataclass(frozen=True)
class Glob:
    """A pattern as each of the tools writes it."""

    own: tuple[str, ...]
    aws: tuple[str, ...]
    """Also of s5cmd: ``*`` crosses folders."""
    rclone: tuple[str, ...]


GLOBS = (
    Glob(("**/*.csv",), ("*.csv",), ("*.csv",)),
    Glob(("**/*.{log,txt}",), ("*.log", "*.txt"), ("*.{log,txt}",)),
    Glob(("docs/**",), ("docs/*",), ("/docs/**",)),
    Glob(("*.log",), (), ("/*.log",)),
    Glob(("**/part-?.*",), (), ("part-?.*",)),
    Glob(("**/*b*",), (), ("*b*",)),
    Glob(("**/*b*", "**/*b*/**"), ("*b*",), ("*b*", "*b*/**")),
    Glob(("a b/a b.csv",), ("a b/a b.csv",), ("/a b/a b.csv",)),
    Glob(("**/[a-p]*.txt",), (), ("[a-p]*.txt",)),
    Glob(("**/.*",), (), (".*",)),
    Glob(("ü/**/*.csv",), ("ü/*.csv",), ("/ü/**.csv",)),
)
ALL = Glob(("**",), ("*",), ("**",))
WORKS = ("upload", "download", "copy", "move", "delete", "list", "verify")
IF_EXISTS: dict[str, dict[str, str]] = {
    "overwrite": {},
    "skip": {"if_exists": "skip"},
    "size": {"if_exists": "skip_same", "compare": "size"},
    "size_mtime": {"if_exists": "skip_same", "compare": "size_mtime"},
    "newer": {"if_exists": "skip_same", "compare": "mtime"},
    "checksum": {"if_exists": "skip_same"},
    "immutable": {"if_exists": "fail_different"},
}
"""The ways to treat an object that is there already, and the fields for them."""


@dataclass(frozen=True)
class File:
    """The content of a file or object, and the age of a file in seconds."""

    data: bytes
    age: int = 0


Tree = dict[str, File]


@dataclass(frozen=True)
class Case:
    """A work, the tool to compare with, its options, and what is there before."""

    seed: int
    work: str
    peer: str
    mode: str
    source: Tree
    target: Tree
    engine: str
    include: tuple[Glob, ...] = ()
    exclude: tuple[Glob, ...] = ()
    rules: tuple[tuple[str, Glob], ...] = ()
    """Globs in order, each to include or exclude; the first that matches decides."""
    ignore_case: bool = False
    """True if globs are written in capitals, and match without regard to case."""
    delete_extra: bool = False
    backup: bool = False
    flatten: bool = False
    listed: tuple[str, ...] = ()
    """Names of a list, instead of the whole source."""
    min_size: Optional[int] = None
    max_size: Optional[int] = None
    min_age: Optional[int] = None
    max_age: Optional[int] = None
    links: dict[str, str] = field(default_factory=dict)
    symlinks: str = "follow"


def draw_tree(random: Random) -> Tree:
    """Returns up to twenty files; none is named as a folder of others, which no disk has."""
    tree: Tree = {}
    for _ in range(random.randint(1, 20)):
        name = random.choice(FOLDERS) + random.choice(STEMS) + random.choice(SUFFIXES)
        file = File(_draw_data(random), random.choice((-3600, 3600, 90_000, 900_000)))
        if name in tree or not _clashes(name, tree):
            tree[name] = file
    if random.random() < 0.1:
        tree[LONG] = File(b"long", 60)
    return tree


def _draw_data(random: Random) -> bytes:
    return random.randbytes(random.choice((0, 1, 9, 10, 10, 11, 100, 1000)))


def draw_target(random: Random, source: Tree) -> Tree:
    """Returns a tree that shares files with the source: same, of other content, of other size."""
    tree: Tree = {}
    for name, file in source.items():
        kind = random.choice(("absent", "same", "content", "size"))
        age = random.choice((-7200, 7200))
        if kind == "same":
            tree[name] = File(file.data, age)
        elif kind == "content":
            tree[name] = File(random.randbytes(len(file.data)), age)
        elif kind == "size":
            tree[name] = File(file.data + b"x", age)
    for name, file in draw_tree(random).items():
        if random.random() < 0.4 and not _clashes(name, tree) and not _clashes(name, source):
            tree[name] = file
    return tree


def _clashes(name: str, tree: Tree) -> bool:
    return any(
        name == each or name.startswith(f"{each}/") or each.startswith(f"{name}/") for each in tree
    )


MODES = {
    ("aws", "upload"): ("overwrite", "size", "size_mtime"),
    ("aws", "download"): ("overwrite", "size"),
    ("aws", "copy"): ("overwrite", "size", "size_mtime"),
    ("s5cmd", "upload"): ("overwrite", "skip", "size", "size_mtime", "newer"),
    ("s5cmd", "download"): ("overwrite", "skip", "size", "size_mtime", "newer"),
    ("s5cmd", "copy"): ("overwrite", "skip", "size", "size_mtime", "newer"),
    ("rclone", "upload"): ("overwrite", "skip", "size", "checksum", "immutable"),
    ("rclone", "download"): ("overwrite", "skip", "size", "checksum", "immutable"),
    ("rclone", "copy"): ("overwrite", "skip", "size", "checksum", "immutable"),
}
"""Those that a tool has for a work; what differs by design is in the manual instead."""


CHECKSUMS = ("checksum", "immutable")
"""Modes that need checksums of both sides."""


def draw_case(seed: int, *, ages: bool = False) -> Case:
    """Returns the case of a seed; with ``ages`` its objects have ages, to select by."""
    random = Random(seed)
    work = random.choice(WORKS)
    peers = ("rclone",) if work == "verify" or ages else ("aws", "s5cmd", "rclone")
    peer = random.choice(peers)
    source = draw_tree(random)
    if peer == "s5cmd" and work in ("copy", "move"):
        # it writes a space of a copy's source as +, which S3 reads as a space and the emulator not
        source = {name.replace(" ", "_"): file for name, file in source.items()}
    target = draw_target(random, source)
    options: dict[str, Any] = {}
    modes = MODES.get((peer, work), ("overwrite",))
    # rclone does not get checksums from its own server
    mode = random.choice([each for each in modes if not (ages and each in CHECKSUMS)])
    globs = [each for each in GLOBS if peer == "rclone" or each.aws]
    can_filter = (peer, work) not in (("aws", "list"), ("s5cmd", "list"))
    if can_filter and random.random() < 0.5:
        options["include"] = tuple(random.sample(globs, random.randint(1, 3)))
    if can_filter and random.random() < 0.5:
        options["exclude"] = tuple(random.sample(globs, random.randint(1, 2)))
    if work in ("upload", "download", "copy"):
        may_mirror = {"aws": mode != "overwrite", "s5cmd": mode in ("size", "size_mtime")}
        if may_mirror.get(peer, True) and random.random() < 0.5:
            options["delete_extra"] = True
        if peer == "rclone" and work != "download" and random.random() < 0.4:
            options["backup"] = mode != "immutable"
        names = [name.rpartition("/")[2] for name in source]
        can_flatten = peer == "s5cmd" and len({*names}) == len(names) and not options
        options["flatten"] = can_flatten and mode == "overwrite" and random.random() < 0.4
    # rclone applies limits of size and age to its target too
    may_limit = "delete_extra" not in options and work != "verify"
    if peer == "rclone" and may_limit and random.random() < 0.3:
        options["min_size"], options["max_size"] = random.choice(((10, None), (None, 10), (1, 99)))
    if ages and may_limit and random.random() < 0.8:
        limits = ((7200, None), (None, 100_000), (7200, 100_000))
        options["min_age"], options["max_age"] = random.choice(limits)
    if peer == "rclone" and work in ("download", "copy") and not options and random.random() < 0.5:
        options["listed"] = tuple(random.sample([*source], random.randint(1, len(source))))
    if work == "upload" and random.random() < 0.3:
        options["links"] = {"link.csv": random.choice([*source])}
        options["symlinks"] = random.choice(("follow", "skip"))
    engine = random.choice(("fast", "boto3"))
    _order_filters(options, peer, Random(f"rules of {seed}"))
    return Case(seed, work, peer, mode, source, target, engine, **options)


def _order_filters(options: dict[str, Any], peer: str, random: Random) -> None:
    """Replaces some filters by rules in an order; s5cmd has none."""
    drawn = [(name, glob) for name in ("include", "exclude") for glob in options.get(name, ())]
    if peer == "rclone" and drawn and random.random() < 0.3:
        options["ignore_case"] = True
    if peer == "s5cmd" or not drawn or random.random() < 0.5:
        return
    for name in {name for name, _ in drawn}:
        del options[name]
    globs = [each for each in GLOBS if peer == "rclone" or each.aws]
    drawn += [(random.choice(("include", "exclude")), random.choice(globs)) for _ in range(2)]
    random.shuffle(drawn)
    options["rules"] = (*drawn, ("exclude", ALL)) if random.random() < 0.5 else tuple(drawn)


@dataclass(frozen=True)
class Places:
    """The source and target of a case: a folder, or ``BUCKET/PREFIX/``."""

    source: str
    target: str
    backup: str
    names: str
    """A file for a list of names."""


def build_step(case: Case, places: Places) -> dict[str, Any]:
    """Returns the step that does the work."""
    source, target = _uri(places.source), _uri(places.target)
    filters: dict[str, Any] = {
        "include": [glob for each in case.include for glob in each.own],
        "exclude": [glob for each in case.exclude for glob in each.own],
        "min_size": case.min_size,
        "max_size": case.max_size,
        "min_age": case.min_age,
        "max_age": case.max_age,
    }
    fields = {name: value for name, value in filters.items() if value not in (None, [])}
    if case.rules:
        fields["filters"] = [{kind: glob} for kind, each in case.rules for glob in each.own]
    if case.ignore_case:
        fields = _write_in_capitals(fields)
    fields["on_empty"] = "ok"
    if case.work == "list":
        return {"action": "s3.list", "source": source, **fields}
    if case.work == "delete":
        return {"action": "s3.delete", "source": source, "max_delete": 1000, **fields}
    if case.work == "verify":
        extra = {"on_difference": "ok", "read": True}
        return {"action": "s3.verify", "source": source, "target": target, **extra, **fields}
    fields.update(IF_EXISTS[case.mode], target=target)
    if case.delete_extra:
        fields.update(delete_extra=True, max_delete=1000)
    if case.backup:
        fields["backup"] = _uri(places.backup)
    if case.flatten:
        fields["flatten"] = True
    if case.listed:
        fields["objects"] = {"from": places.names, "prefix": source, "format": "text"}
    else:
        fields["source"] = source
    if case.links:
        fields["symlinks"] = case.symlinks
    if case.work == "move":
        return {"action": "s3.copy", "move": True, **fields}
    return {"action": f"s3.{case.work}", **fields}


def _write_in_capitals(fields: dict[str, Any]) -> dict[str, Any]:
    def change(value: Any) -> Any:
        if isinstance(value, list):
            return [change(each) for each in value]
        if isinstance(value, dict):
            return {name: change(each) for name, each in value.items()}
        return value.upper() if isinstance(value, str) else value

    return {**{name: change(value) for name, value in fields.items()}, "ignore_case": True}


def _uri(place: str) -> str:
    return place if place.startswith("/") else f"s3://{place}"


def build_command(case: Case, places: Places) -> list[str]:
    """Returns the command line of the tool that does the work."""
    return {"aws": _build_aws, "s5cmd": _build_s5cmd, "rclone": _build_rclone}[case.peer](
        case, places
    )


def _build_aws(case: Case, places: Places) -> list[str]:
    source, target = _uri(places.source), _uri(places.target)
    filters = ["--exclude", "*"] if case.include else []
    filters += [word for each in case.include for glob in each.aws for word in ("--include", glob)]
    filters += [word for each in case.exclude for glob in each.aws for word in ("--exclude", glob)]
    flags = [(kind, glob) for kind, each in case.rules for glob in each.aws]
    filters += [word for kind, glob in reversed(flags) for word in (f"--{kind}", glob)]
    if case.work == "list":
        return ["aws", "s3", "ls", "--recursive", source]
    if case.work == "delete":
        return ["aws", "s3", "rm", "--recursive", source, *filters]
    options = [*filters, *(["--no-follow-symlinks"] if case.symlinks == "skip" else [])]
    if case.mode == "overwrite":
        verb = "mv" if case.work == "move" else "cp"
        return ["aws", "s3", verb, "--recursive", source, target, *options]
    options += ["--size-only"] if case.mode == "size" else []
    options += ["--delete"] if case.delete_extra else []
    return ["aws", "s3", "sync", source, target, *options]


_S5CMD_FLAGS = {"overwrite": [], "skip": ["-n"], "size": ["-s"], "newer": ["-u"]}


def _build_s5cmd(case: Case, places: Places) -> list[str]:
    # of a pattern's own matches it follows links, also with --no-follow-symlinks
    is_folder = case.work == "upload" and not case.flatten
    source = _uri(places.source) + ("" if is_folder else "*")
    target = _uri(places.target)
    options = [word for each in case.include for glob in each.aws for word in ("--include", glob)]
    options += [word for each in case.exclude for glob in each.aws for word in ("--exclude", glob)]
    if case.work == "list":
        return ["s5cmd", "ls", source]
    if case.work == "delete":
        return ["s5cmd", "rm", *options, source]
    options += ["--no-follow-symlinks"] if case.symlinks == "skip" else []
    if case.work == "move":
        return ["s5cmd", "mv", *options, source, target]
    options += ["--flatten"] if case.flatten else []
    if case.mode == "size_mtime" or case.delete_extra:
        options += ["--size-only"] if case.mode == "size" else []
        options += ["--delete"] if case.delete_extra else []
        return ["s5cmd", "sync", *options, source, target]
    return ["s5cmd", "cp", *_S5CMD_FLAGS[case.mode], *options, source, target]


_RCLONE_FLAGS = {
    "overwrite": ["--ignore-times"],
    "skip": ["--ignore-existing"],
    "size": ["--size-only"],
    "checksum": ["--checksum"],
    "immutable": ["--checksum", "--immutable", "--retries=1"],
}


def _build_rclone(case: Case, places: Places) -> list[str]:
    source, target = _remote(places.source), _remote(places.target)
    rules = [f"- {glob}" for each in case.exclude for glob in each.rclone]
    rules += [f"+ {glob}" for each in case.include for glob in each.rclone]
    rules += ["- *"] if case.include else []
    signs = {"include": "+", "exclude": "-"}
    rules += [f"{signs[kind]} {glob}" for kind, each in case.rules for glob in each.rclone]
    if case.ignore_case:
        rules = [each.upper() for each in rules]
    options = [word for rule in rules for word in ("--filter", rule)]
    options += ["--ignore-case"] if case.ignore_case else []
    options += [] if case.min_size is None else ["--min-size", f"{case.min_size}B"]
    options += [] if case.max_size is None else ["--max-size", f"{case.max_size}B"]
    options += [] if case.min_age is None else ["--min-age", f"{case.min_age}s"]
    options += [] if case.max_age is None else ["--max-age", f"{case.max_age}s"]
    if case.work == "list":
        return ["rclone", "lsf", "--recursive", "--files-only", *options, source]
    if case.work == "delete":
        return ["rclone", "delete", *options, source]
    if case.work == "verify":
        reports = ("missing-on-src", "missing-on-dst", "differ", "match")
        written = [word for each in reports for word in (f"--{each}", f"{places.names}.{each}")]
        return ["rclone", "check", *written, *options, source, target]
    options += [] if case.work != "upload" else ["--copy-links"]
    if case.symlinks == "skip":
        options[-1:] = ["--skip-links"]
    options += ["--no-unicode-normalization", *_RCLONE_FLAGS[case.mode]]
    options += ["--backup-dir", _remote(places.backup)] if case.backup else []
    options += ["--files-from-raw", places.names] if case.listed else []
    verb = "move" if case.work == "move" else "sync" if case.delete_extra else "copy"
    return ["rclone", verb, *options, source, target]


def _remote(place: str) -> str:
    return place if place.startswith("/") else f"s:{place}"
