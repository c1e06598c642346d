"""Fields that select objects or files by name, size and age."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Optional

from pydantic import AfterValidator, model_validator

from rolerunner.actions.base import Field
from rolerunner.selection.filters import Rule, Selection, check_globs, find_certain_excludes
from rolerunner.selection.names import format_timestamp
from rolerunner.spec.expressions import Template
from rolerunner.spec.field_types import DYNAMIC, Bytes, Flag, Seconds, StrictModel, Text
from rolerunner.spec.nested_templates import iter_templates


def _check_globs(globs: list[Any]) -> list[Any]:
    check_globs([each for each in globs if isinstance(each, str)])
    return globs


def _check_glob(glob: str) -> str:
    check_globs([glob])
    return glob


Globs = Annotated[list[Text], AfterValidator(_check_globs)]
Glob = Annotated[str, AfterValidator(_check_glob), DYNAMIC]


class FilterRule(StrictModel):
    """One of the ordered filters."""

    include: Optional[Glob] = Field(
        None, description="Select what matches this glob.", examples=["**/audit.log"]
    )
    exclude: Optional[Glob] = Field(
        None, description="Leave out what matches this glob.", examples=["**/*.log"]
    )

    @model_validator(mode="after")
    def _is_one_rule(self) -> "FilterRule":
        if (self.include is None) == (self.exclude is None):
            raise ValueError("each of 'filters' has either 'include' or 'exclude'")
        return self

    def rule(self) -> Rule:
        """For the selection."""
        selects = self.include is not None
        return Rule(selects, self.include if selects else self.exclude)


def read_rules(filters: Any) -> list[Rule]:
    """Returns the rules of the field ``filters``, which may hold templates and mistakes."""
    if isinstance(filters, Template):
        return [Rule(selects=False, glob=filters)]
    rules: list[Rule] = []
    for each in filters if isinstance(filters, list) else ():
        if isinstance(each, FilterRule):
            rules.append(each.rule())
        elif isinstance(each, dict) and len(each) == 1:
            ((name, glob),) = each.items()
            rules.append(Rule(name == "include", glob))
    return rules


def read_globs(fields: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """Returns globs of a step's fields: what it selects matches the first and not the second.

    The fields may hold templates and mistakes; the latter are left out and reported elsewhere. A
    glob without regard to case selects more than it says, so it is not among the first.
    """

    def globs(value: Any) -> list[Any]:
        return [
            each
            for each in (value if isinstance(value, list) else [value])
            if isinstance(each, (str, Template))
        ]

    include = [] if fields.get("ignore_case") is True else globs(fields.get("include"))
    rules = read_rules(fields.get("filters"))
    return include, globs([*find_certain_excludes(globs(fields.get("exclude")), rules)])


class GlobFields(StrictModel):
    """Fields that select objects or files by their names."""

    include: Globs = Field(
        default_factory=list,
        description="Globs over keys relative to the source's folder; '**' crosses folders.",
        examples=[["**/*.csv.gz"]],
    )
    exclude: Globs = Field(
        default_factory=list, description="Globs of keys to leave out.", examples=[["**/_*"]]
    )
    filters: list[FilterRule] = Field(
        default_factory=list,
        description=(
            "Globs in order, instead of include and exclude: the first that matches decides, and"
            " what none matches is selected."
        ),
        examples=[[{"include": "**/audit.log"}, {"exclude": "**/*.log"}]],
    )
    ignore_case: Flag = Field(
        False,
        description="Match globs without regard to upper and lower case.",
        examples=[True],
    )

    @model_validator(mode="after")
    def _globs_agree(self) -> Any:
        if self.filters and (self.include or self.exclude):
            raise ValueError(
                "'filters' takes the place of 'include' and 'exclude': write them as rules of it"
            )
        if self.ignore_case is True and not (self.include or self.exclude or self.filters):
            raise ValueError("'ignore_case' needs globs: 'include', 'exclude' or 'filters'")
        return self

    def list_globs(self) -> tuple[list[Any], list[Any]]:
        """Returns the globs for proofs, as ``read_globs`` does."""
        return read_globs(vars(self))

    def has_templates_in_globs(self) -> bool:
        """Returns True if globs have expressions, so that only the run knows the selection."""
        rules = [each.glob for each in read_rules(self.filters)]
        globs = [self.include, self.exclude, self.ignore_case, rules]
        return any(True for _ in iter_templates(globs))

    def name_selection(self) -> Selection:
        """Returns the globs as a predicate."""
        return Selection(
            tuple(self.include),
            tuple(self.exclude),
            rules=tuple(each.rule() for each in self.filters),
            ignore_case=self.ignore_case,
        )


class FilterFields(GlobFields):
    """Fields that select objects or files."""

    min_size: Bytes = Field(0, description="Leave out smaller objects.", examples=["1B"])
    max_size: Optional[Bytes] = Field(
        None, description="Leave out larger objects.", examples=["5GB"]
    )
    min_age: Optional[Seconds] = Field(
        None, description="Leave out objects modified more recently than this.", examples=["10m"]
    )
    max_age: Optional[Seconds] = Field(
        None, description="Leave out objects modified longer ago than this.", examples=["7d"]
    )

    def selection(self) -> Selection:
        """Returns the fields as a predicate; ages count from now."""
        now = datetime.now(timezone.utc)
        before, after = (
            "" if age is None else format_timestamp(now - timedelta(seconds=age))
            for age in (self.min_age, self.max_age)
        )
        return replace(
            self.name_selection(),
            min_size=self.min_size,
            max_size=self.max_size,
            before=before,
            after=after,
        )
