"""Argo's and Flagger's manifests become changes that our own readers accept; what does not translate is named."""

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hitless.app.imports.argo import import_argo
from hitless.app.imports.flagger import import_flagger
from hitless.app.imports.outcome import Imported
from hitless.kit.errors import InvalidInput
from hitless.kit.units import Share
from hitless.plan.change import read_change
from hitless.plan.system import read_system

DATA = Path(os.environ.get("HITLESS_SHARED_DATA") or Path(__file__).parents[4] / "../shared/data") / "manifests"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"no manifests at {DATA}; name their folder in HITLESS_SHARED_DATA"
)


def rollout(strategy: str, **more: str) -> str:
    lines = "".join(f"  {key}: {value}\n" for key, value in more.items())
    return (
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: orders}\nspec:\n"
        f"{lines}  template: {{spec: {{containers: [{{name: main, image: 'shop/orders:1.1'}}]}}}}\n  strategy: {strategy}\n"
    )


def canary(analysis: str, more: str = "") -> str:
    return (
        "kind: Canary\nmetadata: {name: web}\nspec:\n  targetRef: {kind: Deployment, name: web}\n"
        f"  analysis: {analysis}\n{more}"
    )


def argo(text: str, **options: str) -> Imported:
    return import_argo({"rollout.yaml": text}, **options)


def flagger(text: str, **options: str) -> Imported:
    return import_flagger({"canary.yaml": text}, **options)


def codes(imported: Imported) -> list[str]:
    return [each.code for each in imported.left]


def orders_of(imported: Imported) -> object:
    return read_change(imported.change, file="c").services["orders"]


def refusal(text: str, read: object = import_argo) -> str:
    with pytest.raises(InvalidInput) as caught:
        read({"f.yaml": text})  # type: ignore[operator]
    return caught.value.code


@needs_data
@pytest.mark.parametrize("folder", ["argo-rollouts", "flagger"])
def test_every_manifest_of_the_two_projects_converts_or_is_refused_with_a_code(folder: str) -> None:
    read = import_argo if folder == "argo-rollouts" else import_flagger
    files = sorted((DATA / folder).glob("*.yaml"))
    assert len(files) >= 5
    for file in files:
        if file.name == "analysis-templates.yaml":
            assert refusal(file.read_text()) == "nothing-to-import"
            continue
        imported = read({file.name: file.read_text()})
        assert read_change(imported.change, file="c").services
        assert read_system(imported.system, file="s").services
        assert all(each.code and each.where and each.text for each in imported.left)


@needs_data
def test_templates_in_another_file_are_found() -> None:
    folder = DATA / "argo-rollouts"
    names = ("rollout-background-analysis.yaml", "analysis-templates.yaml")
    imported = import_argo({name: (folder / name).read_text() for name in names})
    assert "template-missing" not in codes(imported)
    told = next(each for each in imported.left if each.code == "job-metric")
    assert "failureLimit 1" in told.text


def test_weights_become_steps_and_the_longest_pause_the_bake() -> None:
    imported = argo(
        rollout(
            "{canary: {steps: [{setWeight: 5}, {pause: {duration: 1m}}, {setWeight: 50}, {pause: {duration: 90}}]}}"
        )
    )
    orders = orders_of(imported)
    assert orders.to == "1.1"
    assert orders.steps == (Share(500), Share(5000), Share(10_000))
    assert orders.bake == 90
    assert "one-bake" in codes(imported)


def test_a_pause_without_an_end_and_every_step_of_another_kind_is_named() -> None:
    steps = "{setWeight: 5}, {pause: {}}, {setCanaryScale: {replicas: 1}}, {setMirrorRoute: {name: m}}, {plugin: {}}"
    found = codes(argo(rollout(f"{{canary: {{steps: [{steps}]}}}}")))
    assert {"manual-pause", "step-setcanaryscale", "step-setmirrorroute", "step-plugin"} <= set(found)


def test_a_weight_that_goes_down_is_named_and_left_out() -> None:
    imported = argo(rollout("{canary: {steps: [{setWeight: 50}, {setWeight: 20}, {setWeight: 0}]}}"))
    assert codes(imported).count("not-growing") == 2
    assert orders_of(imported).steps == (Share(5000), Share(10_000))


def test_an_experiment_alone_gets_the_default_steps_and_never_everybody_at_once() -> None:
    imported = argo(rollout("{canary: {steps: [{experiment: {templates: []}}]}}"))
    assert orders_of(imported).strategy == "canary"
    assert orders_of(imported).steps is None
    assert "default-steps" in codes(imported)


def test_a_canary_without_steps_is_rolling() -> None:
    assert orders_of(argo(rollout("{canary: {maxSurge: 1}}"))).strategy == "rolling"


def test_blue_green_keeps_the_old_side_as_long_as_argo_does() -> None:
    assert orders_of(argo(rollout("{blueGreen: {activeService: a}}"))).keep == 30
    assert orders_of(argo(rollout("{blueGreen: {activeService: a, scaleDownDelaySeconds: 600}}"))).keep == 600


def test_a_job_before_the_switch_becomes_the_check() -> None:
    template = (
        "---\nkind: AnalysisTemplate\nmetadata: {name: smoke}\nspec:\n  metrics:\n  - name: smoke\n    provider:\n"
        "      job: {spec: {template: {spec: {containers: [{command: [python], args: [smoke.py]}]}}}}\n"
    )
    text = rollout("{blueGreen: {activeService: a, prePromotionAnalysis: {templates: [{templateName: smoke}]}}}")
    assert orders_of(argo(text + template)).check == ("python", "smoke.py")


def test_the_system_file_gets_what_the_pods_say() -> None:
    text = """
kind: Rollout
metadata: {name: orders}
spec:
  replicas: 3
  strategy: {canary: {}}
  template:
    spec:
      terminationGracePeriodSeconds: 45
      containers:
      - name: proxy
        image: envoy:1
      - name: orders
        image: registry:5000/orders:1.1
        command: [python, -m, orders]
        args: [--port=8080]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}}
        env:
        - {name: LEVEL, value: info}
        - {name: API_KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}
        - {name: CERT, value: "file:/etc/cert"}
"""
    imported = argo(text)
    orders = read_system(imported.system, file="s").services["orders"]
    assert orders.run == ("python", "-m", "orders", "--port={port}")
    assert (orders.instances, orders.ready, orders.grace, orders.version) == (3, "/healthz", 45, "1.1")
    assert orders.env == {"LEVEL": "info", "API_KEY": "env:API_KEY"}
    assert {"sidecar", "secret", "environment", "image"} <= set(codes(imported))


def test_what_nobody_reads_is_named_by_its_path() -> None:
    imported = argo(rollout("{canary: {}}", somethingNew="{deep: 1}"))
    assert ("not-translated", "Rollout orders: spec.somethingNew") in [
        (each.code, each.where) for each in imported.left
    ]


def test_a_secret_never_comes_out() -> None:
    imported = argo(rollout("{canary: {}}") + "---\nkind: Secret\nmetadata: {name: s}\ndata: {k: aHVzaA==}\n")
    assert "aHVzaA" not in imported.change + imported.system + str(imported.left)


def test_several_rollouts_make_one_change() -> None:
    two = rollout("{canary: {}}") + "---\n" + rollout("{canary: {}}").replace("orders", "web")
    change = read_change(argo(two).change, file="c")
    assert set(change.services) == {"orders", "web"}


def test_flagger_steps_end_with_everybody() -> None:
    web = read_change(flagger(canary("{interval: 15s, stepWeight: 20, maxWeight: 50}")).change, file="c").services[
        "web"
    ]
    assert [str(step) for step in web.steps or ()] == ["20%", "40%", "100%"]
    assert web.bake == 15


def test_flagger_takes_the_version_from_the_deployment_or_from_the_caller() -> None:
    deployment = (
        "---\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{image: 'a/web:2.0'}]}}}\n"
    )
    analysis = "{interval: 15s, iterations: 4}"
    assert "to: '2.0'" in flagger(canary(analysis) + deployment).change
    assert "to: '3.0'" in flagger(canary(analysis), to="3.0").change
    alone = flagger(canary(analysis))
    assert "to: next" in alone.change
    assert "no-version" in codes(alone)


def test_flagger_iterations_are_blue_green_and_with_a_match_a_group_of_testers() -> None:
    web = read_change(flagger(canary("{interval: 15s, iterations: 4}")).change, file="c").services["web"]
    assert (web.strategy, web.bake) == ("blue-green", 60)
    tested = flagger(canary("{interval: 15s, iterations: 4, match: [{headers: {a: {exact: b}}}]}"))
    assert read_change(tested.change, file="c").services["web"].steps == ("web-testers", Share(10_000))
    assert "web-testers" in read_system(tested.system, file="s").groups
    assert "ab-test" in codes(tested)


def test_flagger_without_analysis_needs_no_evidence() -> None:
    web = read_change(flagger(canary("{}", "  skipAnalysis: true\n")).change, file="c").services["web"]
    assert web.evidence == "none"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("kind: Service\nmetadata: {name: a}\n", "nothing-to-import"),
        ("- a\n- b\n", "broken-manifest"),
        ("kind: Rollout\n", "broken-manifest"),
        ("kind: [Rollout\n", "broken-yaml"),
        ("kind: Rollout\nkind: Rollout\n", "duplicate-key"),
        (rollout("{}"), "no-strategy"),
        (rollout("{canary: {}, blueGreen: {}}"), "no-strategy"),
        (rollout("{canary: []}"), "broken-manifest"),
        (rollout("{canary: {steps: 5}}"), "broken-manifest"),
        (rollout("{canary: {steps: [{setWeight: 101}]}}"), "broken-manifest"),
        (rollout("{canary: {steps: [{pause: {duration: soon}}]}}"), "broken-manifest"),
        (rollout("{canary: {}}", replicas="many"), "broken-manifest"),
        (rollout("{canary: {}}", workloadRef="{kind: Deployment, name: gone}"), "workload-missing"),
        (rollout("{canary: {}}") + "---\n" + rollout("{canary: {}}"), "duplicate-service"),
        (rollout("{canary: {}}").replace("name: orders", "name: '+++'"), "invalid-name"),
        ("a: " * 100_000, "broken-yaml"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused(text: str, code: str) -> None:
    assert refusal(text) == code


@pytest.mark.parametrize("weights", ["[50, 5]", "[0, 5]", "[5, 101]", "[5, 5]"])
def test_flagger_weights_that_do_not_grow_are_refused(weights: str) -> None:
    assert refusal(canary(f"{{stepWeights: {weights}}}"), import_flagger) == "broken-manifest"


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 200) | st.text("ab:/%{}$1 \n", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "canary",
                    "steps",
                    "setWeight",
                    "pause",
                    "duration",
                    "analysis",
                    "templates",
                    "containers",
                    "image",
                    "env",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(spec=st.dictionaries(st.sampled_from(["replicas", "template", "strategy", "workloadRef", "x"]), PLAIN))
def test_whatever_stands_in_a_rollout_is_converted_or_refused(spec: dict[str, object]) -> None:
    text = yaml.safe_dump({"kind": "Rollout", "metadata": {"name": "orders"}, "spec": spec})
    try:
        imported = argo(text)
    except InvalidInput:
        return
    read_change(imported.change, file="c")


@given(
    spec=st.dictionaries(st.sampled_from(["targetRef", "service", "analysis", "skipAnalysis", "x"]), PLAIN),
)
def test_whatever_stands_in_a_canary_is_converted_or_refused(spec: dict[str, object]) -> None:
    text = yaml.safe_dump({"kind": "Canary", "metadata": {"name": "web"}, "spec": spec})
    try:
        imported = flagger(text)
    except InvalidInput:
        return
    read_change(imported.change, file="c")
