"""Schemathesis drives the running API by its description: no server error, no answer that is not described.

The judge reads docs/openapi.json and makes its own calls, single ones and chains of them (a request that was
submitted is shown, cancelled, replanned). Seeds are fixed. A planted fault shows that it would complain.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup

from tests.northbound.conftest import Tokens
from tests.northbound.serving import Served

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTION = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
ENDLESS = ("/v1/notifications",)
"""An answer that never ends; its own tests read it."""

load_all_checks()
JUDGED = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "missing_required_header",
        "unsupported_method",
        "ignored_auth",
    ]
)
"""What a described answer is. Whether a thing exists, and for whom, is judged by the tests beside this."""

IN_CHAINS = [check for check in JUDGED if check.__name__ != "ignored_auth"]
"""A chain makes up tokens that the configured one replaces on the way, and would complain of its own call."""


def described(server: Served, token: str, description: Any = DESCRIPTION) -> Any:
    """The description as schemathesis reads it, for one server and one token."""
    config = SchemathesisConfig.from_dict({"seed": 1, "headers": {"Authorization": f"Bearer {token}"}})
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(description)), config=config)
    schema.config.update(base_url=server.url)
    return schema


def judge(server: Served, token: str, examples: int, description: Any = DESCRIPTION) -> int:
    """Call every operation with made-up data, good and bad; the number of calls. Raises its complaints."""
    calls = 0
    for found in described(server, token, description).get_all_operations():
        operation = found.ok()
        if operation.path in ENDLESS:
            continue
        for mode in GenerationMode:

            @settings(
                max_examples=examples,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def call(case: Any) -> None:
                nonlocal calls
                calls += 1
                case.call_and_validate(checks=JUDGED, timeout=60)

            try:
                call()
            except Unsatisfiable:
                continue  # nothing about this operation can be wrong
    return calls


def test_no_single_call_meets_a_server_error_or_an_answer_that_is_not_described(
    server: Served, tokens: Tokens
) -> None:
    assert judge(server, tokens.operator, 5) > 100


@pytest.mark.slow
def test_nor_do_many(server: Served, tokens: Tokens) -> None:
    assert judge(server, tokens.admin, 100) > 1000


def possible(description: Any) -> Any:
    """The same with terms that this lab can serve, so that chains get beyond their first call."""
    told = json.loads(json.dumps(description))
    terms = told["components"]["schemas"]["RequestTerms"]
    kept = {name: terms["properties"][name] for name in ("count", "priority", "consumption")}
    kept["count"] = {"type": "integer", "minimum": 1, "maximum": 3}
    kept["target_nodes"] = {"type": "array", "const": ["alice", "bob"]}
    terms |= {"properties": kept, "required": ["count", "target_nodes"]}
    del told["paths"]["/v1/notifications"]
    return told


def test_no_chain_of_calls_does(server: Served, tokens: Tokens) -> None:
    """Requests that were made are shown, cancelled, replanned and asked for their pairs."""
    answered: Counter[tuple[str, int]] = Counter()

    class Chain(described(server, tokens.operator, possible(DESCRIPTION)).as_state_machine()):  # type: ignore[misc]
        def validate_response(self, response: Any, case: Any, additional_checks: Any = (), **_: Any) -> None:
            answered[case.operation.definition.raw["operationId"], response.status_code] += 1
            case.validate_response(response, checks=IN_CHAINS)

    run_state_machine_as_test(
        Chain,
        settings=settings(
            max_examples=10,
            stateful_step_count=8,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    followed = ("read_request", "cancel_request", "replan_request", "list_pairs")
    assert answered["submit_request", 202] >= 1, answered
    assert sum(count for (name, status), count in answered.items() if name in followed and status < 410), (
        answered
    )


def test_the_judge_complains_where_an_answer_is_not_as_described(server: Served, tokens: Tokens) -> None:
    """Planted: the name of the lab is described as a number."""
    wrong = json.loads(json.dumps(DESCRIPTION))
    wrong["components"]["schemas"]["Lab"]["properties"]["name"] = {"type": "integer"}
    wrong["paths"] = {"/v1/lab": wrong["paths"]["/v1/lab"]}
    with pytest.raises(FailureGroup, match="Response violates schema"):
        judge(server, tokens.viewer, 1, wrong)
