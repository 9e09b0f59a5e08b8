"""Deploying strictly: what the local cloud does not apply is an error, never a silent drop."""

from pathlib import Path
from typing import Any

import pytest

from local import layers, seams
from local.deploy import Asked, Made, Stack
from local.resources.compute import substituted
from local.template import Template, TemplateError, read
from local.wire import LocalError


def make(asked: Asked) -> Made:
    name = asked.properties.take("Name", asked.name)
    return Made(name, {"Arn": f"arn:{name}"})


def deploy(resources: Any, parameters: dict[str, str] | None = None, **sections: Any) -> Any:
    body = {"Resources": {name: {"Type": "Thing", **resource} for name, resource in resources.items()}, **sections}
    return Stack(Template(body, {}), "stack", parameters or {}, {"Thing": make}).deploy()


def one(value: Any, **sections: Any) -> str:
    """Deploy one thing with that name, and say what became of the name."""
    found: str = deploy({"A": {"Properties": {"Name": value}}}, **sections).resources["A"]
    return found


# ---------------------------------------------------------------- strictness


@pytest.mark.parametrize(
    ("resources", "sections", "complaint"),
    [
        ({"A": {"Properties": {"Colour": "red"}}}, {}, r"A \(Thing\): the local cloud does not apply \['Colour'\]"),
        ({"A": {"Type": "AWS::Moon::Base"}}, {}, "does not know: type AWS::Moon::Base of A"),
        ({"A": {"CreationPolicy": {}}}, {}, "does not know: attribute CreationPolicy of A"),
        ({"A": {}}, {"Hooks": {}}, "does not know: section Hooks"),
        ({"A": {"Properties": {"Name": {"Ref": "B"}}}}, {}, "nothing in the template is called B"),
        ({"A": {"Properties": {"Name": {"Fn::GetAtt": ["A", "Arn"]}}}}, {}, "circular dependency: A → A"),
        ({"A": {"Properties": {"Name": {"Fn::Cidr": []}}}}, {}, "Fn::Cidr is not known"),
        ({"B": {}, "A": {"Properties": {"Name": {"Fn::GetAtt": "B.Size"}}}}, {}, "B has no attribute Size"),
    ],
)
def test_what_is_not_applied_is_refused_by_name(resources: Any, sections: Any, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint):
        deploy(resources, **sections)


def test_what_is_deliberately_not_applied_passes() -> None:
    assert deploy({"A": {"Properties": {"Name": "a", "Tags": []}, "DeletionPolicy": "Retain"}}).resources == {"A": "a"}


@pytest.mark.parametrize(
    ("rules", "given", "complaint"),
    [
        ({"Type": "String"}, {}, "parameter P has no value"),
        ({"Type": "String"}, {"Q": "1"}, r"no parameters \['Q'\]"),
        ({"Type": "String", "AllowedValues": ["a"]}, {"P": "b"}, "is not one of the allowed values"),
        ({"Type": "String", "AllowedPattern": "[a-z]+"}, {"P": "B"}, "does not match the allowed pattern"),
        ({"Type": "Number", "MinValue": 5}, {"P": "4"}, "is too small"),
        ({"Type": "Number", "MaxValue": 5}, {"P": "6"}, "is too large"),
        ({"Type": "String", "MaxLength": 1}, {"P": "ab"}, "is too long"),
    ],
)
def test_a_parameter_that_cloudformation_would_refuse_is_refused(rules: Any, given: Any, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint):
        deploy({"A": {}}, given, Parameters={"P": rules})


@pytest.mark.parametrize(("definition", "values"), [("${A}", {}), ("plain", {"A": "x"})])
def test_substitutions_and_definition_must_name_the_same(definition: str, values: Any) -> None:
    with pytest.raises(TemplateError, match=r"lack .* and hold"):
        substituted("Machine", definition, values)


def test_substitutions_are_filled_in() -> None:
    assert substituted("Machine", '{"a": "${A}", "b": "${A}${B}"}', {"A": 1, "B": "x"}) == '{"a": "1", "b": "1x"}'


# ---------------------------------------------------------------- CloudFormation's functions


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Fn::Sub": "${AWS::StackName}-${!Literal}"}, "stack-${Literal}"),
        ({"Fn::Sub": ["${X}/${AWS::Region}", {"X": {"Ref": "AWS::AccountId"}}]}, "123456789012/us-east-1"),
        ({"Fn::Join": ["-", ["a", {"Ref": "AWS::Partition"}, {"Ref": "AWS::NoValue"}]]}, "a-aws"),
        ({"Fn::Select": [1, {"Fn::Split": ["/", "a/b/c"]}]}, "b"),
        ({"Fn::FindInMap": ["M", "k", "v"]}, "mapped"),
        ({"Fn::If": ["Yes", "then", "else"]}, "then"),
        ({"Fn::If": ["No", "then", {"Fn::If": ["Both", "both", "neither"]}]}, "neither"),
    ],
)
def test_a_function_has_its_value(value: Any, expected: str) -> None:
    conditions = {
        "Yes": {"Fn::Equals": [1, "1"]},
        "No": {"Fn::Not": [{"Condition": "Yes"}]},
        "Both": {"Fn::And": [{"Condition": "Yes"}, {"Fn::Or": [{"Condition": "No"}, {"Condition": "No"}]}]},
    }

    assert one(value, Conditions=conditions, Mappings={"M": {"k": {"v": "mapped"}}}) == expected


def test_a_resource_is_made_after_what_it_refers_to_and_not_where_its_condition_is_false() -> None:
    deployed = deploy(
        {
            "First": {"Properties": {"Name": {"Fn::GetAtt": "Second.Arn"}}, "DependsOn": "Third"},
            "Second": {"Properties": {"Name": "second"}},
            "Third": {"Properties": {"Name": "third"}},
            "Never": {"Condition": "No"},
        },
        Conditions={"No": {"Fn::Equals": ["a", "b"]}},
        Outputs={
            "Kept": {"Value": {"Ref": "First"}},
            "Left": {"Value": {"Ref": "Never"}, "Condition": "No"},
        },
    )

    assert list(deployed.resources.items()) == [("Third", "third"), ("Second", "second"), ("First", "arn:second")]
    assert deployed.outputs == {"Kept": "arn:second"}


# ---------------------------------------------------------------- files


def test_a_template_that_is_not_there_is_named() -> None:
    with pytest.raises(TemplateError, match=r"nowhere.yaml does not exist"):
        read(Path("nowhere.yaml"), {})


def test_code_that_is_not_there_is_named(tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: gone/}}}")

    with pytest.raises(TemplateError, match=r"F: CodeUri names .*gone, which is no directory"):
        read(template, {})


def test_a_layer_is_its_packages_with_byte_code_and_is_built_once(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(layers, "CACHE", tmp_path / "cache")
    package = tmp_path / "layer" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "module.py").write_text("VALUE = 1\n")

    built = layers.directory(tmp_path / "layer", "x86_64")
    names = sorted(str(file.relative_to(built)) for file in built.rglob("*") if file.is_file())

    assert names[:2] == ["python/package/__init__.py", "python/package/__pycache__/__init__.cpython-313.pyc"]
    assert len(names) == 4
    assert layers.directory(tmp_path / "layer", "x86_64") == built
    (package / "module.py").write_text("VALUE = 2\n")
    assert layers.directory(tmp_path / "layer", "x86_64") != built


def test_a_built_layer_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()

    assert layers.directory(tmp_path, "x86_64") == tmp_path


def test_a_directory_that_is_no_layer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"no python/, no requirements.txt and no package"):
        layers.directory(tmp_path, "x86_64")


# ---------------------------------------------------------------- moto


def test_another_moto_is_refused_by_the_names_of_what_differs() -> None:
    with pytest.raises(LocalError, match=r"json\.loads takes \('s', .*; json\.gone is gone"):
        seams.check([seams.Seam("json", "loads", ("s",)), seams.Seam("json", "gone", None)])
    seams.check([seams.Seam("json", "loads", None)])
