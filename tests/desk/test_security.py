"""The security gates notice a planted mistake, and ours have each a reason that is still wanted."""

import base64
import hashlib
from pathlib import Path

import pytest

from checks import security

OPEN_BUCKET = """\
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Bucket:
    Type: AWS::S3::Bucket
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: app.handler
      CodeUri: .
      Policies:
        - Version: "2012-10-17"
          Statement: [{Effect: Allow, Action: "iam:*", Resource: "*"}]
"""


def test_a_planted_hole_is_reported_also_where_only_the_translated_template_has_it(tmp_path: Path) -> None:
    source = tmp_path / "template.yaml"
    source.write_text(OPEN_BUCKET)

    found = list(security.of_template(source))

    raw = [one for one in found if one.startswith("CKV_AWS_53: ") and "AWS::S3::Bucket.Bucket" in one]
    in_role = [one for one in found if "AWS::IAM::Role.FunctionRole" in one]
    assert (len(raw), bool(in_role)) == (3, True)  # in each file; and the role is in two
    assert all("/translated" in one for one in in_role)
    assert any("is accepted in security.py, and nothing of the kind is found any more" in one for one in found)


def test_what_a_key_does_not_reach_is_reported_though_it_is_accepted_without_one(tmp_path: Path) -> None:
    source = tmp_path / "template.yaml"
    source.write_text(OPEN_BUCKET + "  Secret: {Type: AWS::SecretsManager::Secret}\n")

    found = [one for one in security.of_template(source) if one.startswith("CKV_AWS_149: ")]

    assert [("with-key" in one, "Secret.Secret" in one) for one in found] == [(True, True)]


def test_a_template_that_cannot_be_read_is_an_error_and_not_a_clean_one(tmp_path: Path) -> None:
    broken = tmp_path / "template.yaml"
    broken.write_text("Resources: [")

    with pytest.raises(RuntimeError, match="checkov could not read"):
        list(security.checkov([broken]))


def test_a_planted_key_is_reported_by_its_place_and_never_told(tmp_path: Path) -> None:
    body = base64.b64encode(hashlib.sha512(b"one").digest() + hashlib.sha512(b"two").digest(), b"AB").decode()[:93]
    key = f"sk-ant-{'api03'}-{body}AA"
    (tmp_path / "settings.py").write_text(f'KEY = "{key}"\n')

    found = list(security.gitleaks("dir", str(tmp_path)))

    assert len(found) == 1
    assert found[0].startswith(f"{tmp_path / 'settings.py'}:1: ")
    assert body not in found[0]
