"""S3, DynamoDB and Secrets Manager: made through the same APIs that CloudFormation would call."""

import json
from collections.abc import Mapping

from local.deploy import Asked, Made, Maker, only
from local.iam import Access
from local.resources.clients import Clients, without_tls_only
from local.wire import ACCOUNT, REGION, Json

LIFECYCLE_ACTIONS = ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload", "Transitions")


class Storage:
    """S3, DynamoDB and Secrets Manager."""

    def __init__(self, clients: Clients, access: Access) -> None:
        """Start with no tables known; `access` learns what lies under a key of the account."""
        self._clients = clients
        self._access = access
        self.hash_keys: dict[str, str] = {}
        """Table → the name of its partition key."""

    def makers(self) -> Mapping[str, Maker]:
        """The types made here."""
        return {
            "AWS::DynamoDB::Table": self._table,
            "AWS::S3::Bucket": self._bucket,
            "AWS::S3::BucketPolicy": self._bucket_policy,
            "AWS::SecretsManager::Secret": self._secret,
        }

    def _table(self, asked: Asked) -> Made:
        dynamodb, properties = self._clients("dynamodb"), asked.properties
        name = properties.take("TableName", asked.name)
        expiry, stream = properties.take("TimeToLiveSpecification"), properties.take("StreamSpecification")
        shape = properties.take_all(
            "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "LocalSecondaryIndexes"
        )
        shape |= {"BillingMode": properties.take("BillingMode", "PROVISIONED")}
        shape |= properties.take_all("ProvisionedThroughput")
        if encryption := properties.take("SSESpecification"):
            shape["SSESpecification"] = {"Enabled": encryption.pop("SSEEnabled"), **encryption}
        if stream:
            shape["StreamSpecification"] = {"StreamEnabled": True, **stream}
        table = dynamodb.create_table(TableName=name, **shape)["TableDescription"]
        if expiry:
            dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification=expiry)
        self.hash_keys[name] = next(key["AttributeName"] for key in shape["KeySchema"] if key["KeyType"] == "HASH")
        arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"  # DynamoDB Local has its own idea of it
        if encryption:
            self._access.encrypt(arn, encryption["KMSMasterKeyId"])
        return Made(name, {"Arn": arn, "StreamArn": table.get("LatestStreamArn")})

    def _bucket(self, asked: Asked) -> Made:
        s3, properties = self._clients("s3"), asked.properties
        name = properties.take("BucketName", asked.name.lower())
        s3.create_bucket(Bucket=name)
        for rule in properties.take("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", ()):
            self._encrypt(name, rule)
        if versioning := properties.take("VersioningConfiguration"):
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration=versioning)
        if lifecycle := properties.take("LifecycleConfiguration"):
            rules = [_lifecycle_rule(asked.logical_id, rule) for rule in lifecycle["Rules"]]
            s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
        if notification := properties.take("NotificationConfiguration"):
            only(asked.logical_id, notification, {"EventBridgeConfiguration"})
            wanted = notification["EventBridgeConfiguration"].get("EventBridgeEnabled", True)
            configuration: Json = {"EventBridgeConfiguration": {}} if wanted else {}
            s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration=configuration)
        return Made(name, {"Arn": f"arn:aws:s3:::{name}"})

    def _encrypt(self, bucket: str, rule: Json) -> None:
        """Encrypt a bucket as its rule says, which is CloudFormation's spelling of S3's."""
        default = rule["ServerSideEncryptionByDefault"]
        theirs = {
            "ApplyServerSideEncryptionByDefault": default,
            "BucketKeyEnabled": rule.get("BucketKeyEnabled", False),
        }
        self._clients("s3").put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [theirs]})
        if key := default.get("KMSMasterKeyID"):
            self._access.encrypt(f"arn:aws:s3:::{bucket}", key)

    def _bucket_policy(self, asked: Asked) -> Made:
        bucket, document = asked.properties.take("Bucket"), asked.properties.take("PolicyDocument")
        statements = without_tls_only(document["Statement"])
        if statements:
            policy = json.dumps({**document, "Statement": statements})
            self._clients("s3").put_bucket_policy(Bucket=bucket, Policy=policy)
        return Made(asked.name)

    def _secret(self, asked: Asked) -> Made:
        properties = asked.properties
        given = {"Description": properties.take("Description", ""), **properties.take_all("SecretString", "KmsKeyId")}
        name = properties.take("Name", asked.name)
        arn = self._clients("secretsmanager").create_secret(Name=name, **given)["ARN"]
        if "KmsKeyId" in given:
            self._access.encrypt(arn, given["KmsKeyId"])
        return Made(arn, {"Id": arn})


def _lifecycle_rule(owner: str, rule: Json) -> Json:
    """CloudFormation's spelling of a lifecycle rule in S3's."""
    only(owner, rule, {"Id", "Status", "Prefix", "ExpirationInDays", *LIFECYCLE_ACTIONS})
    translated = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "ExpirationInDays" in rule:
        translated["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    return translated | {action: rule[action] for action in LIFECYCLE_ACTIONS if action in rule}
