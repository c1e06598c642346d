"""Text -> Job: YAML, schema and expressions joined; every mistake at once."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from pydantic import BaseModel, ValidationError

from rolerunner.errors import Problem, SpecError, UsageError
from rolerunner.model import JOB, Job, Role, RoleArn, Step
from rolerunner.spec import checking
from rolerunner.spec.document import Document, Path, parse
from rolerunner.spec.expressions import Reference, Template, is_template, parse_template
from rolerunner.spec.fields import TEMPLATES_ALLOWED
from rolerunner.spec.filters import ExpressionError
from rolerunner.spec.params import read_param
from rolerunner.spec.schema import RoleFields, SpecFile, StepFields
from rolerunner.spec.values import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rolerunner.errors import Mark
    from rolerunner.spec.kinds import Kind

RUN_NAMES = ("id", "name", "date", "time", "error")
"""What ``run.`` holds."""
STATUS = "status"
"""``steps.ID.status``, which every step has besides the outputs of its action."""


def load_text(text: str, file: str, kinds: Mapping[str, type[Kind]], given: Mapping[str, Any], *, complete: bool = True) -> Job:
    """Read and check a spec. ``given`` are the params of this run, as text or values.

    ``complete=False`` checks the spec alone: required params may be missing, and what depends on them is taken on trust.
    Raises SpecError with every mistake of the spec, UsageError for params given wrongly.
    """
    return _Loader(parse(text, file), kinds, given, complete=complete).job()


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class _RawStep:
    index: int
    path: Path
    common: StepFields
    kind: type[Kind]
    fields: Mapping[str, Any]
    """The action's own fields, with templates."""
    role_names: Mapping[str, Optional[str]]


class _Loader:
    """One reading of one document; ``problems`` grows, and nothing is raised before all is looked at."""

    def __init__(self, document: Document, kinds: Mapping[str, type[Kind]], given: Mapping[str, Any], *, complete: bool) -> None:
        self.document = document
        self.kinds = kinds
        self.given = given
        self.complete = complete
        self.problems: list[Problem] = []
        self.params: dict[str, Any] = {}
        self.undecided: set[str] = set()
        self.roles: dict[str, Role] = {}
        self.role_names: set[str] = set()

    def job(self) -> Job:
        top = self._top()
        self._read_params(top)
        self._read_roles(top)
        raw = [step for index, value in enumerate(top.steps) for step in self._raw_step(index, value, top)]
        self._check_ids(raw)
        steps = self._steps(raw, top)
        if self.problems:
            raise SpecError(self.problems)
        return Job(
            name=top.name, steps=tuple(steps), params=dict(self.params), roles=dict(self.roles),
            description=top.description, assume=top.assume, file=self.document.file,
        )  # fmt: skip

    # the top

    def _top(self) -> SpecFile:
        data = self.document.data
        if not isinstance(data, dict):
            raise SpecError([self.document.problem((), "a spec is a mapping that starts with 'version: 1'")])
        try:
            return SpecFile.model_validate(data)
        except ValidationError as error:
            self.problems += checking.problems(error, self.document, (), checking.known_keys(SpecFile))
        return self._top_that_stands(data)

    def _top_that_stands(self, data: dict[str, Any]) -> SpecFile:
        """What can be used of a top with mistakes, so that the steps' own mistakes are found too."""
        usable: dict[str, Any] = {"version": 1, "name": "unnamed", "steps": [None]}
        for key in SpecFile.model_fields:
            if key in data:
                try:
                    SpecFile.model_validate({**usable, key: data[key]})
                except ValidationError:
                    continue
                usable[key] = data[key]
        if usable["steps"] == [None]:
            raise SpecError(self.problems)
        if "params" in data and "params" not in usable:
            self.undecided |= {str(name) for name in data["params"]} if isinstance(data["params"], dict) else set()
        return SpecFile.model_validate(usable)

    # params

    def _read_params(self, top: SpecFile) -> None:
        unknown = [name for name in self.given if name not in top.params and name not in self.undecided]
        if unknown:
            names = "; ".join(f"there is no param '{name}'{_hint(nearest(name, top.params))}" for name in unknown)
            raise UsageError(f"{self.document.file}: {names}")
        for name, declared in top.params.items():
            place: Path = ("params", name)
            if name in self.given:
                try:
                    self.params[name] = read_param(declared, self.given[name])
                except ValueError as error:
                    raise UsageError(f"the param '{name}' {error}") from None
            elif declared.default is not None:
                try:
                    self.params[name] = read_param(declared, declared.default)
                except ValueError as error:
                    self.undecided.add(name)
                    self.problems.append(self.document.problem((*place, "default"), f"the default of '{name}' {error}"))
            elif declared.required and self.complete:
                raise UsageError(f"the param '{name}' is required: give it with -p {name}=VALUE (in Glue: --{name} VALUE)")
            elif declared.required:
                self.undecided.add(name)
            else:
                self.params[name] = None

    # roles

    def _read_roles(self, top: SpecFile) -> None:
        self.role_names = set(top.roles)
        fields: dict[str, RoleFields] = {}
        for name, value in top.roles.items():
            if name == "job":
                self.problems.append(self.document.problem(("roles", name), "'job' is the job's own role; choose another alias", key=True))
            read = self._role_fields(name, value)
            if read is not None:
                fields[name] = read
        for name in fields:
            self._role(name, fields, ())

    def _role_fields(self, name: str, value: Any) -> Optional[RoleFields]:
        path: Path = ("roles", name)
        whole = {"arn": value} if isinstance(value, str) else value
        if not isinstance(whole, dict):
            self.problems.append(self.document.problem(path, f"the role '{name}' must be an ARN or a mapping, not {checking.shown(value)}"))
            return None
        values = self._with_templates(whole, path, {"params"})
        return self._validated(RoleFields, self._filled(values, path), path, checking.known_keys(RoleFields))

    def _role(self, name: str, fields: Mapping[str, RoleFields], above: tuple[str, ...]) -> Optional[Role]:
        if name in self.roles:
            return self.roles[name]
        if name in above:
            place = ("roles", name, "via")
            self.problems.append(self.document.problem(place, f"'via' goes round in a circle: {' -> '.join((*above, name))}"))
            return None
        if name not in fields:
            return None
        said = fields[name]
        via = self._via(name, said, fields, above)
        role = _made_role(name, said, via)
        if role is not None:
            self._check_role(name, role)
            self.roles[name] = role
        return role

    def _via(self, name: str, said: RoleFields, fields: Mapping[str, RoleFields], above: tuple[str, ...]) -> Optional[Role]:
        if said.via is None:
            return None
        if said.via not in self.role_names:
            message = f"there is no role '{said.via}'"
            self.problems.append(self.document.problem(("roles", name, "via"), message, nearest(said.via, self.role_names)))
            return None
        return self._role(said.via, fields, (*above, name))

    def _check_role(self, name: str, role: Role) -> None:
        arn = RoleArn.parse(role.arn)
        if role.account and role.account != arn.account:
            message = f"the role '{name}' is pinned to account {role.account}, but its ARN is in {arn.account}"
            self.problems.append(self.document.problem(("roles", name, "account"), message))
        if role.via is not None and RoleArn.parse(role.via.arn).partition != arn.partition:
            self.problems.append(self.document.problem(("roles", name, "via"), "a role cannot be assumed across partitions"))

    # steps

    def _raw_step(self, index: int, value: Any, top: SpecFile) -> Iterator[_RawStep]:
        path: Path = ("steps", index)
        if value is None and self.document.data.get("steps") in (None, []):
            return
        if not isinstance(value, dict):
            self.problems.append(self.document.problem(path, f"a step is a mapping with 'id' and 'action', not {checking.shown(value)}"))
            return
        kind = self._kind(value, path)
        role_fields = kind.role_fields if kind else ("role",)
        common_keys = set(StepFields.model_fields)
        own = {key: each for key, each in value.items() if key not in common_keys and key not in role_fields}
        common = self._common(value, path, kind)
        fields = self._with_templates(own, path, {"params", "run", "steps"})
        if kind is not None:
            keys = (*checking.known_keys(StepFields), *checking.known_keys(kind), *role_fields)
            self._validated(kind, self._filled(fields, path), path, keys)
        names = {name: self._role_name(name, value, path, top) for name in role_fields}
        if kind is not None and common is not None:
            yield _RawStep(index, path, common, kind, fields, names)

    def _kind(self, value: Mapping[str, Any], path: Path) -> Optional[type[Kind]]:
        action = value.get("action")
        if not isinstance(action, str):
            return None
        kind = self.kinds.get(action)
        if kind is None:
            hint = nearest(action, self.kinds) or f"known: {', '.join(sorted(self.kinds))}"
            self.problems.append(self.document.problem((*path, "action"), f"unknown action '{action}'", hint))
        return kind

    def _common(self, value: Mapping[str, Any], path: Path, kind: Optional[type[Kind]]) -> Optional[StepFields]:
        known = {key: each for key, each in value.items() if key in StepFields.model_fields}
        if kind is None and "action" in known:
            self._validated(StepFields, known, path, ())
            return None
        return self._validated(StepFields, known, path, ())

    def _role_name(self, name: str, value: Mapping[str, Any], path: Path, top: SpecFile) -> Optional[str]:
        for key in dict.fromkeys((name, "role")):
            if key in value:
                said = value[key]
                if not isinstance(said, str):
                    message = f"'{key}' must be an alias, an ARN, or job, not {checking.shown(said)}"
                    self.problems.append(self.document.problem((*path, key), message))
                    return None
                self._check_role_name(said, (*path, key))
                return said
        if top.defaults.role is not None:
            self._check_role_name(top.defaults.role, ("defaults", "role"))
        return top.defaults.role

    def _check_role_name(self, said: str, path: Path) -> None:
        if said in (JOB.name, *self.role_names):
            return
        if said.startswith("arn:"):
            try:
                RoleArn.parse(said)
            except ValueError as error:
                self.problems.append(self.document.problem(path, str(error)))
            return
        hint = nearest(said, (*self.role_names, JOB.name)) or "name one under 'roles:', write its ARN, or 'job' for the job's own role"
        problem = self.document.problem(path, f"there is no role '{said}'", hint)
        if problem not in self.problems:
            self.problems.append(problem)

    def _check_ids(self, raw: list[_RawStep]) -> None:
        first: dict[str, _RawStep] = {}
        for step in raw:
            other = first.setdefault(step.common.id, step)
            if other is not step:
                line = self.document.mark((*other.path, "id")).line
                message = f"the step id '{step.common.id}' is here twice"
                self.problems.append(self.document.problem((*step.path, "id"), message, f"the first is on line {line}"))

    def _steps(self, raw: list[_RawStep], top: SpecFile) -> list[Step]:
        steps = []
        for position, each in enumerate(raw):
            before = {earlier.common.id: earlier.kind for earlier in raw[:position]}
            later = {after.common.id for after in raw[position:]}
            references = self._check_references(each, before, later)
            steps.append(
                Step(
                    id=each.common.id,
                    action=each.kind.kind,
                    fields=each.fields,
                    roles=self._step_roles(each),
                    references=frozenset(references),
                    needs=tuple(sorted(references)),
                    on_error=each.common.on_error or top.defaults.on_error,
                    description=each.common.description,
                    mark=self.document.mark(each.path),
                )
            )
        return steps

    def _step_roles(self, step: _RawStep) -> dict[str, Role]:
        found: dict[str, Role] = {}
        for key, name in step.role_names.items():
            if name is None:
                if step.kind.needs_role and key not in self.document.data["steps"][step.index]:
                    message = f"the step '{step.common.id}' has no role"
                    hint = "say 'role: ALIAS', an ARN, or 'role: job' for the job's own role"
                    self.problems.append(self.document.problem(step.path, message, hint))
            elif name == JOB.name:
                found[key] = JOB
            elif name in self.roles:
                found[key] = self.roles[name]
            elif name.startswith("arn:"):
                found[key] = self._unnamed_role(name)
        return found

    def _unnamed_role(self, arn: str) -> Role:
        """A role whose ARN stands straight in the step: the alias of the same plain ARN, if there is one."""
        role = Role(arn=arn, name=arn)
        return next((known for known in self.roles.values() if known == role), role)

    # expressions

    def _with_templates(self, value: Any, path: Path, scopes: set[str]) -> Any:
        """The value with each text that holds ``${{`` read as a Template."""
        if isinstance(value, str) and is_template(value):
            return self._template(value, path, scopes)
        if isinstance(value, dict):
            return {key: self._with_templates(each, (*path, key), scopes) for key, each in value.items()}
        if isinstance(value, list):
            return [self._with_templates(each, (*path, index), scopes) for index, each in enumerate(value)]
        return value

    def _template(self, text: str, path: Path, scopes: set[str]) -> Any:
        try:
            template = parse_template(text)
        except ExpressionError as error:
            hint = nearest(error.wrong, error.right) if error.wrong else ""
            self.problems.append(self.document.problem_at(self._mark_inside(path, text, error.offset), str(error), hint))
            return _BROKEN
        for expression in template.expressions:
            for reference in expression.references:
                offset = expression.offset + max(expression.text.find(str(reference)), 0)
                self._check_scope(reference, scopes, self._mark_inside(path, text, offset))
        return template

    def _check_scope(self, reference: Reference, scopes: set[str], mark: Mark) -> None:
        head, name = reference.path[0], reference.path[1] if len(reference.path) > 1 else ""
        message, hint = "", ""
        if head not in scopes:
            message = f"'{head}' cannot be read here"
            hint = nearest(head, scopes) or f"known: {', '.join(sorted(scopes))}"
        elif not name:
            message = f"'{head}' needs a name after it, as in {head}.NAME"
        elif head == "params" and name not in self.params and name not in self.undecided:
            message, hint = f"there is no param '{name}'", nearest(name, (*self.params, *self.undecided))
        elif head == "run" and name not in RUN_NAMES:
            message = f"there is no 'run.{name}'"
            hint = nearest(name, RUN_NAMES) or f"known: {', '.join(RUN_NAMES)}"
        if message:
            self.problems.append(self.document.problem_at(mark, message, hint))

    def _mark_inside(self, path: Path, text: str, offset: int) -> Mark:
        """Where in the file the character at ``offset`` of a scalar's text stands, as well as can be told."""
        mark = self.document.mark(path)
        if path in self.document.blocks or "\n" in text:
            return replace(mark, line=mark.line + text.count("\n", 0, offset) + (path in self.document.blocks))
        line = self.document.lines[mark.line - 1]
        found = line.find(text, mark.column - 1)
        return replace(mark, column=(found + 1 if found >= 0 else mark.column) + offset)

    def _filled(self, value: Any, path: Path) -> Any:
        """The value with each template that hangs on known params alone filled in; a broken one stays a template."""
        if isinstance(value, Template):
            heads = {reference.path[0] for reference in value.references}
            names = {reference.path[1] for reference in value.references if len(reference.path) > 1}
            if heads <= {"params"} and names <= set(self.params):
                try:
                    return value.evaluate({"params": self.params})
                except ExpressionError as error:
                    self.problems.append(self.document.problem(path, str(error)))
            return value
        if isinstance(value, dict):
            return {key: self._filled(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each, (*path, index)) for index, each in enumerate(value)]
        return value

    def _check_references(self, step: _RawStep, before: Mapping[str, type[Kind]], later: set[str]) -> set[str]:
        found: set[str] = set()
        for path, template in templates(step.fields, step.path):
            for expression in template.expressions:
                for reference in expression.references:
                    if reference.path[0] == "steps" and len(reference.path) > 1:
                        found.add(reference.path[1])
                        offset = expression.offset + max(expression.text.find(str(reference)), 0)
                        mark = self._mark_inside(path, template.text, offset)
                        self._check_step_reference(reference, before, later, mark)
        return found & set(before)

    def _check_step_reference(self, reference: Reference, before: Mapping[str, type[Kind]], later: set[str], mark: Mark) -> None:
        name = reference.path[1]
        output = reference.path[2] if len(reference.path) > 2 else ""  # noqa: PLR2004
        message, hint = "", ""
        if name not in before:
            message = f"the step '{name}' does not run before this one" if name in later else f"there is no step '{name}'"
            hint = "" if name in later else nearest(name, before)
        elif not output:
            message = f"'steps.{name}' needs an output after it, as in steps.{name}.{_first_output(before[name])}"
        else:
            outputs = before[name].outputs
            if outputs is not None and output not in (*outputs, STATUS):
                message = f"the step '{name}' has no output '{output}'"
                known = (*outputs, STATUS)
                hint = nearest(output, known) or f"{before[name].kind} has {', '.join(known)}"
        if message:
            self.problems.append(self.document.problem_at(mark, message, hint))

    def _validated(self, model: type[M], value: Any, path: Path, keys: tuple[str, ...]) -> Optional[M]:
        try:
            return model.model_validate(value, context=TEMPLATES_ALLOWED)
        except ValidationError as error:
            self.problems += checking.problems(error, self.document, path, keys)
        return None


_BROKEN = Template("", ())


def templates(value: Any, path: Path = ()) -> Iterator[tuple[Path, Template]]:
    """Every template inside a value, with the way to it."""
    if isinstance(value, Template):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from templates(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from templates(each, (*path, index))


def fill(value: Any, scope: Mapping[str, Any]) -> Any:
    """The value with every template in it worked out. Raises ExpressionError."""
    if isinstance(value, Template):
        return value.evaluate(scope)
    if isinstance(value, dict):
        return {key: fill(each, scope) for key, each in value.items()}
    if isinstance(value, list):
        return [fill(each, scope) for each in value]
    return value


def _made_role(name: str, said: RoleFields, via: Optional[Role]) -> Optional[Role]:
    texts = (said.arn, said.external_id, said.region, said.account, said.session_name, said.source_identity, said.session_policy)
    if any(isinstance(text, Template) for text in (*texts, said.duration, *said.tags.values(), *said.policy_arns)):
        return None  # checked only: it hangs on a param that was not given
    policy = said.session_policy if isinstance(said.session_policy, str) else ""
    return Role(
        arn=said.arn, name=name, via=via, session_name=said.session_name or "", external_id=said.external_id or "",
        duration=int(said.duration), policy=_canonical(policy), policy_arns=tuple(sorted(said.policy_arns)),
        tags=tuple(sorted(said.tags.items())), transitive_tag_keys=tuple(sorted(said.transitive_tags)),
        source_identity=said.source_identity or "", region=said.region or "", account=said.account or "",
    )  # fmt: skip


def _canonical(policy: str) -> str:
    try:
        return json.dumps(json.loads(policy), separators=(",", ":"), sort_keys=True) if policy else ""
    except ValueError:
        return policy


def _first_output(kind: type[Kind]) -> str:
    return next(iter(kind.outputs or {}), "NAME")


def _hint(text: str) -> str:
    return f" ({text})" if text else ""
