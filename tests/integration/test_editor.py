"""The published schema in the YAML language server, which editors use."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from pathlib import Path
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

import rolerunner
from rolerunner import api
from rolerunner.actions import registry
from rolerunner.errors import SpecError
from rolerunner.spec.json_schema import build_schema
from rolerunner.spec.yaml_parser import parse_document
from tests.conftest import CONFIGS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.long  # npm installs the server

SERVER = "yaml-language-server@1.19.2"
CACHE = ROOT / ".cache" / "yaml-language-server"
PUBLISHED = Path(rolerunner.__file__).with_name("schema.json")
SPECS = ROOT / "tests" / "specs"
GOOD = [
    *sorted((SPECS / "good").glob("*.yaml")),
    CONFIGS / "blog_cross_role.yaml",
    CONFIGS / "partner_exchange.yaml",
]
# mistakes of shape, which a schema can see; those of meaning are rolerunner validate's
SHAPE = (
    "top-unknown-key",
    "top-version-2",
    "top-on-failure",
    "role-unknown-key",
    "step-unknown-key",
    "step-on-empty",
    "step-action-unknown",
    "step-no-id",
    "step-source-missing",
    "step-retry-unknown",
    "step-encryption",
    "step-acl",
    "param-type",
    "param-unknown-key",
    "step-include-number",
)


def test_the_published_schema_is_the_one_the_code_makes() -> None:
    assert json.loads(PUBLISHED.read_text()) == build_schema(registry()), "run: make schema"


def objects_of(schema: Any) -> Iterator[dict[str, Any]]:
    """Every part of the schema that lists properties of its own, but for the conditions."""
    if isinstance(schema, dict):
        if "properties" in schema and schema.get("additionalProperties") is False:
            yield schema
        for key, value in schema.items():
            yield from objects_of(value) if key not in ("if", "examples", "default") else ()
    elif isinstance(schema, list):
        for value in schema:
            yield from objects_of(value)


def test_every_field_has_a_description_and_an_example() -> None:
    schema = build_schema(registry())
    found = list(objects_of(schema))
    assert len(found) > 10
    inner = {"items", "max_parallel"}  # the long form of for_each, described with it
    fields = [
        (name, {**schema["definitions"][field["$ref"].rpartition("/")[2]], **field})
        if "$ref" in field
        else (name, field)
        for each in found
        for name, field in each["properties"].items()
        if set(each["properties"]) != inner
    ]
    assert [name for name, field in fields if not field.get("description")] == []
    assert [name for name, field in fields if not field.get("examples")] == []


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_spec_fits(path: Path) -> None:
    jsonschema.Draft7Validator(build_schema(registry())).validate(
        parse_document(path.read_text(), path.name).data
    )


@pytest.mark.parametrize("name", SHAPE)
def test_a_mistake_of_shape_does_not_fit(name: str) -> None:
    path = SPECS / "bad" / f"{name}.yaml"
    assert not jsonschema.Draft7Validator(build_schema(registry())).is_valid(
        parse_document(path.read_text(), path.name).data
    )
    with pytest.raises(SpecError):
        api.load(path, complete=False)


class Editor:
    """As much of the language server protocol as an editor needs for one file."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.answers: Queue[dict[str, Any]] = Queue()
        self.id = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while True:
            headers = {}
            while (line := stream.readline().decode().strip()) != "":
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            if "content-length" not in headers:
                return
            message = json.loads(stream.read(int(headers["content-length"])))
            if (
                "id" in message and "method" in message
            ):  # the server asks: for its settings, or for leave to be told of changes
                self._send(
                    {
                        "id": message["id"],
                        "result": [SETTINGS["yaml"], {}, {}, {}, {}][
                            : len(message.get("params", {}).get("items", []))
                        ]
                        or None,
                    }
                )
            self.answers.put(message)

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def tell(self, method: str, **params: Any) -> None:
        self._send({"method": method, "params": params})

    def ask(self, method: str, **params: Any) -> Any:
        self.id += 1
        self._send({"id": self.id, "method": method, "params": params})
        return self.wait(lambda message: message.get("id") == self.id and "method" not in message)[
            "result"
        ]

    def wait(self, expected: Any) -> dict[str, Any]:
        for _ in range(200):
            try:
                message = self.answers.get(timeout=30)
            except Empty:
                break
            if expected(message):
                return message
        raise AssertionError("the language server did not answer")

    def diagnostics(self, uri: str, text: str) -> list[tuple[int, str]]:
        self.tell(
            "textDocument/didOpen",
            textDocument={"uri": uri, "languageId": "yaml", "version": 1, "text": text},
        )
        message = self.wait(
            lambda message: (
                message.get("method") == "textDocument/publishDiagnostics"
                and message["params"]["uri"] == uri
            )
        )
        return [
            (each["range"]["start"]["line"] + 1, each["message"])
            for each in message["params"]["diagnostics"]
        ]

    def completions(self, uri: str, text: str, line: int, character: int) -> dict[str, str]:
        """Returns each label with its documentation."""
        self.diagnostics(uri, text)
        found = self.ask(
            "textDocument/completion",
            textDocument={"uri": uri},
            position={"line": line - 1, "character": character},
        )
        return {item["label"]: str(item.get("documentation", "")) for item in found["items"]}


SETTINGS = {
    "yaml": {
        "validate": True,
        "completion": True,
        "hover": True,
        "schemaStore": {"enable": False},
        "schemas": {PUBLISHED.as_uri(): "/*.yaml"},
    }
}


@pytest.fixture(scope="module")
def editor() -> Iterator[Editor]:
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("npm is not on the PATH")
    server = CACHE / "node_modules/yaml-language-server/bin/yaml-language-server"
    if not server.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(CACHE), SERVER],
            check=True,
            capture_output=True,
            timeout=240,
        )
    process = subprocess.Popen(
        [node, str(server), "--stdio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    made = Editor(process)
    made.ask(
        "initialize",
        processId=None,
        rootUri=None,
        capabilities={"workspace": {"configuration": True}, "textDocument": {"completion": {}}},
    )
    made.tell("initialized")
    made.tell("workspace/didChangeConfiguration", settings=SETTINGS)
    yield made
    process.kill()
    process.communicate()


def test_the_language_server_has_nothing_to_say_of_a_good_spec(editor: Editor) -> None:
    assert (
        editor.diagnostics("file:///good.yaml", (CONFIGS / "partner_exchange.yaml").read_text())
        == []
    )


def test_the_language_server_marks_mistakes_in_their_line(editor: Editor) -> None:
    text = (
        (CONFIGS / "partner_exchange.yaml")
        .read_text()
        .replace("    include: [", "    inclde: [", 1)
        .replace("action: s3.write", "action: s3.wirte")
    )
    found = editor.diagnostics("file:///bad.yaml", text)
    lines = dict(found)
    wrong_key = next(number for number, line in enumerate(text.splitlines(), 1) if "inclde" in line)
    wrong_action = next(
        number for number, line in enumerate(text.splitlines(), 1) if "s3.wirte" in line
    )
    assert "inclde" in lines[wrong_key]
    assert wrong_action in lines


HEAD = "version: 1\nname: t\nsteps:\n  - id: a\n    action: "


def test_the_language_server_completes_actions_and_the_fields_of_one(editor: Editor) -> None:
    actions = editor.completions("file:///actions.yaml", HEAD, 5, 12)
    assert {"s3.list", "s3.download", "python.call"} <= set(actions)
    fields = editor.completions("file:///fields.yaml", HEAD + "s3.list\n    ", 6, 4)
    assert {"source", "include", "role", "needs", "when", "for_each"} <= set(fields)
    assert "function" not in fields, "that is python.call's"


def test_the_language_server_knows_fields_that_are_shared_by_several_places(editor: Editor) -> None:
    copy = f"{HEAD}s3.copy\n    "
    fields = editor.completions("file:///shared.yaml", copy, 6, 4)
    assert "modified longer ago" in fields["max_age"]
    values = editor.completions("file:///values.yaml", f"{copy}on_empty: ", 6, 14)
    assert {"error", "warn", "ok"} <= set(values)
    changed = "version: 1\nname: t\nenvironments:\n  dev:\n    glue:\n      "
    settings = editor.completions("file:///changed.yaml", changed, 6, 6)
    assert settings["schedule"]
