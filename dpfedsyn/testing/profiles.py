"""Hypothesis' entry point: settings profiles and types, when Hypothesis is imported."""

from dpfedsyn.testing import registration


def register() -> None:
    """Register `dpfedsyn-ci`, `dpfedsyn-audit`, and `accountants`' types for `st.from_type`.

    `dpfedsyn-ci`: the same examples on every machine, no deadline. `dpfedsyn-audit`: few examples,
    since each may cost thousands of calls, and what was found is not spent again on explaining.
    """
    from hypothesis import HealthCheck, Phase, settings

    slow = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    settings.register_profile(
        "dpfedsyn-ci", derandomize=True, deadline=None, suppress_health_check=slow, print_blob=True
    )
    settings.register_profile(
        "dpfedsyn-audit",
        max_examples=20,
        deadline=None,
        suppress_health_check=slow,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.target, Phase.shrink],
    )
    registration.register()
