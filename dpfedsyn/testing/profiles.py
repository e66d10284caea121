"""Hypothesis' entry point: settings profiles, registered when Hypothesis is imported."""


def register() -> None:
    """Register `dpfedsyn-ci` and `dpfedsyn-audit`.

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
