"""References between steps: that they exist, come earlier, and fit the field."""

from __future__ import annotations

import pytest

from rolerunner.actions import registry
from rolerunner.errors import SpecError
from rolerunner.model import Job
from rolerunner.spec.loader import load_spec

HEAD = "version: 1\nname: t\ndefaults: {role: job}\nsteps:\n"
FIND = "  - {id: find, action: s3.list, source: s3://bucket/in/}\n"
READ = "  - {id: look, action: s3.read, source: s3://bucket/a.txt}\n"


def load(steps: str) -> Job:
    return load_spec(HEAD + steps, "t", registry(), {})


def problems(steps: str) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        load(steps)
    return [(each.message, each.hint) for each in caught.value.problems]


def write(value: str, more: str = "") -> str:
    return f"  - {{id: out, action: s3.write, target: s3://bucket/x, json: '{value}'{more}}}\n"


@pytest.mark.parametrize(
    "value",
    [
        "${{ steps.find.count }}",
        "${{ steps.find.status }}",
        "${{ steps.find.objects }}",
        "a ${{ steps.find.count }} b",
    ],
)
def test_what_a_step_reads_from_is_kept(value: str) -> None:
    job = load(FIND + write(value))
    assert [each.references for each in job.steps] == [frozenset(), {"find"}]


def test_a_condition_and_a_loop_are_references_too() -> None:
    job = load(
        FIND
        + READ
        + write("x", ", when: '${{ steps.find.count > 0 }}', for_each: '${{ steps.look.json }}'")
    )
    assert job.steps[-1].references == {"find", "look"}


def test_outputs_of_items_that_are_read_are_kept_where_the_action_names_none() -> None:
    call = "{id: %s, action: python.call, function: 'm:f'%s}"
    group = f"  - {{id: g, for_each: [1], steps: [{call % ('x', '')}, {call % ('y', '')}]}}\n"
    job = load(
        f"  - {call % ('once', '')}\n"
        f"  - {call % ('each', ', for_each: [1]')}\n"
        + group
        + FIND.replace("}", ", for_each: [1]}")
        + write("${{ steps.once.a }}${{ steps.each.b }}${{ steps.g.x.c }}${{ steps.find.count }}")
        + write("${{ steps.each.status }}${{ steps.g.x.d.e }}").replace("out", "last")
    )
    read = {step.id: step.read_outputs for top in job.steps for step in (top, *top.steps)}
    assert {id_: names for id_, names in read.items() if names} == {
        "each": ("b",),
        "g.x": ("c", "d"),
    }


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        ("${{ steps.fnd.count }}", "there is no step 'fnd'", "did you mean 'find'?"),
        ("${{ steps.zzzzzz.count }}", "there is no step 'zzzzzz'", ""),
        ("${{ steps.out.bytes }}", "the step 'out' does not run before this one", ""),
        ("${{ steps.late.count }}", "the step 'late' does not run before this one", ""),
        (
            "${{ steps.find.cout }}",
            "the step 'find' has no output 'cout'",
            "did you mean 'count'?",
        ),
        (
            "${{ steps.look.zzzzzz }}",
            "the step 'look' has no output 'zzzzzz'",
            "s3.read has text, json, bytes, status",
        ),
        (
            "${{ steps.look }}",
            "'steps.look' needs an output after it, as in steps.look.text",
            "",
        ),
    ],
)
def test_mistakes_of_references(value: str, message: str, hint: str) -> None:
    late = "  - {id: late, action: s3.list, source: s3://bucket/in/}\n"
    assert problems(FIND + READ + write(value) + late) == [(message, hint)]


@pytest.mark.parametrize(
    ("loop", "value", "found"),
    [
        ("steps.find.objects", "item.size", []),
        ("steps.find.objects", "item", []),
        (
            "steps.find.objects",
            "item.sise",
            [("'item' of listed objects has no 'sise'", "did you mean 'size'?")],
        ),
        (
            "steps.find.objects",
            "item.zzzzzz",
            [
                (
                    "'item' of listed objects has no 'zzzzzz'",
                    "known: key, uri, size, etag, modified",
                )
            ],
        ),
        ("steps.look.json", "item.zzzzzz", []),
    ],
)
def test_the_names_of_items(loop: str, value: str, found: list[tuple[str, str]]) -> None:
    steps = FIND + READ + write(f"${{{{ {value} }}}}", f", for_each: '${{{{ {loop} }}}}'")
    if found:
        assert problems(steps) == found
    else:
        load(steps)


@pytest.mark.parametrize(
    ("step", "found"),
    [
        ("action: s3.list, source: s3://bucket/, limit: '${{ steps.find.count }}'", ""),
        (
            "action: s3.list, source: s3://bucket/, limit: '${{ steps.look.text }}'",
            "'limit' cannot be ${{ steps.look.text }}, which is text",
        ),
        (
            "action: s3.list, source: s3://bucket/, include: '${{ steps.find.count }}'",
            "'include' cannot be ${{ steps.find.count }}, which is a whole number",
        ),
        (
            "action: s3.list, source: s3://bucket/, recursive: '${{ steps.find.objects }}'",
            "'recursive' cannot be ${{ steps.find.objects }}, which is a list of objects",
        ),
        ("action: s3.list, source: s3://bucket/, sort: '${{ steps.look.text }}'", ""),
        (
            "action: s3.list, source: s3://bucket/, sort: '${{ steps.find.count }}'",
            "'sort' cannot be ${{ steps.find.count }}, which is a whole number",
        ),
        ("action: s3.list, source: s3://bucket/, limit: '${{ steps.look.json }}'", ""),
    ],
)
def test_the_type_of_an_output_fits_the_field(step: str, found: str) -> None:
    steps = f"{FIND}{READ}  - {{id: use, {step}}}\n"
    if found:
        assert problems(steps) == [(found, "")]
    else:
        load(steps)


def test_the_output_of_a_loop_is_a_list() -> None:
    loop = "  - {id: each, action: s3.read, source: 's3://bucket/${{ item }}', for_each: [a]}\n"
    use = "  - {id: use, action: s3.write, target: s3://bucket/x, text: '${{ steps.each.text }}'}\n"
    assert problems(loop + use) == [
        ("'text' cannot be ${{ steps.each.text }}, which is a list", "")
    ]


def test_a_repeated_id_is_one_mistake_and_the_first_counts() -> None:
    assert [message for message, _ in problems(FIND + FIND + write("${{ steps.find.count }}"))] == [
        "duplicate step id 'find'"
    ]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("[text]", []),
        ("[]", []),
        ("[txt]", [("s3.read has no output 'txt'", "did you mean 'text'?")]),
        ("[zzzzzz]", [("s3.read has no output 'zzzzzz'", "it has text, json, bytes")]),
    ],
)
def test_secret_outputs_are_outputs(names: str, found: list[tuple[str, str]]) -> None:
    steps = READ.replace("}", f", secret_outputs: {names}}}")
    if found:
        assert problems(steps) == found
    else:
        load(steps)


def test_secret_outputs_are_no_expression() -> None:
    steps = READ.replace("}", ", secret_outputs: '${{ run.id }}'}")
    assert (
        "'secret_outputs' must be a list of names; it cannot be an expression",
        "",
    ) in problems(steps)


def test_objects_are_no_secret() -> None:
    steps = FIND.replace("}", ", secret_outputs: [objects]}")
    assert problems(steps) == [("'objects' is a list of objects, which cannot be a secret", "")]


@pytest.mark.parametrize(
    ("step", "is_refused"),
    [
        (write("${{ steps.look.text }}"), True),
        (write("${{ steps.look.bytes }}"), False),
        (write("${{ steps.look.status }}"), False),
        (write("x", ", when: \"${{ steps.look.text == 'a' }}\""), False),
        (write("x", ", for_each: '${{ steps.look.text }}'"), True),
    ],
)
def test_a_secret_output_flows_only_where_it_is_not_shown(step: str, is_refused: bool) -> None:
    steps = READ.replace("}", ", secret_outputs: [text]}") + step
    if not is_refused:
        load(steps)
        return
    ((message, hint),) = problems(steps)
    assert message.startswith("'steps.look.text' is a secret, which cannot flow into '")
    assert hint.startswith("secrets can flow into ")
