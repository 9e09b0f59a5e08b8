"""SQS, SNS, EventBridge, Scheduler, CloudWatch and IAM."""

import json
from collections.abc import Mapping

from moto.sqs.models import sqs_backends

from local.alarms import Alarms
from local.deploy import Asked, Made, Maker, only
from local.iam import Access
from local.metrics import metric
from local.resources.clients import Clients, without_tls_only
from local.wire import ACCOUNT, REGION

TARGET_FIELDS = {"Arn", "Id", "RoleArn", "Input", "InputTransformer", "RetryPolicy", "DeadLetterConfig"}
"""Of a rule's or a schedule's target. The last two have nothing to do: delivery here does not fail."""

ALARM_FIELDS = (
    "AlarmActions",
    "AlarmDescription",
    "ComparisonOperator",
    "DatapointsToAlarm",
    "Dimensions",
    "EvaluationPeriods",
    "MetricName",
    "Metrics",
    "Namespace",
    "Period",
    "Statistic",
    "Threshold",
    "TreatMissingData",
)

POLICY_VERSION = "2012-10-17"


class Messaging:
    """SQS, SNS, EventBridge, Scheduler, CloudWatch and IAM."""

    def __init__(self, clients: Clients, access: Access, alarms: Alarms) -> None:
        """`access` learns the roles' policies, `alarms` what is watched."""
        self._clients = clients
        self._access = access
        self._roles: dict[str, str] = {}
        self._alarms = alarms

    def makers(self) -> Mapping[str, Maker]:
        """The types made here."""
        return {
            "AWS::CloudWatch::Alarm": self._alarm,
            "AWS::CloudWatch::Dashboard": self._dashboard,
            "AWS::Events::Rule": self._rule,
            "AWS::IAM::ManagedPolicy": self._managed_policy,
            "AWS::IAM::Policy": self._policy,
            "AWS::IAM::Role": self._role,
            "AWS::Logs::LogGroup": self._log_group,
            "AWS::SNS::Subscription": self._subscription,
            "AWS::SNS::Topic": self._topic,
            "AWS::SNS::TopicPolicy": self._topic_policy,
            "AWS::SQS::Queue": self._queue,
            "AWS::SQS::QueuePolicy": self._queue_policy,
            "AWS::Scheduler::Schedule": self._schedule,
        }

    def _queue(self, asked: Asked) -> Made:
        name = asked.properties.take("QueueName", asked.name)
        given = asked.properties.take_all(
            "MessageRetentionPeriod", "VisibilityTimeout", "RedrivePolicy", "KmsMasterKeyId"
        )
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
        url = self._clients("sqs").create_queue(QueueName=name, Attributes=texts)["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        if "KmsMasterKeyId" in given:
            self._access.encrypt(arn, given["KmsMasterKeyId"])
        depth = metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=name)
        self._alarms.gauge(depth, lambda: sqs_backends[ACCOUNT][REGION].queues[name].approximate_number_of_messages)
        return Made(url, {"Arn": arn, "QueueName": name, "QueueUrl": url})

    def _queue_policy(self, asked: Asked) -> Made:
        document = asked.properties.take("PolicyDocument")
        policy = json.dumps({**document, "Statement": without_tls_only(document["Statement"])})
        for url in asked.properties.take("Queues"):
            self._clients("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        return Made(asked.name)

    def _topic(self, asked: Asked) -> Made:
        name = asked.properties.take("TopicName", asked.name)
        attributes = asked.properties.take_all("DisplayName", "KmsMasterKeyId")
        arn = self._clients("sns").create_topic(Name=name, Attributes=attributes)["TopicArn"]
        return Made(arn, {"TopicArn": arn, "TopicName": name})

    def _topic_policy(self, asked: Asked) -> Made:
        document = asked.properties.take("PolicyDocument")
        policy = json.dumps({**document, "Statement": without_tls_only(document["Statement"])})
        for arn in asked.properties.take("Topics"):
            self._clients("sns").set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
        return Made(asked.name)

    def _subscription(self, asked: Asked) -> Made:
        given = asked.properties.take_all("TopicArn", "Protocol", "Endpoint")
        return Made(self._clients("sns").subscribe(**given, ReturnSubscriptionArn=True)["SubscriptionArn"])

    def _alarm(self, asked: Asked) -> Made:
        """Make an alarm: moto keeps it, and `local.alarms` judges it."""
        name, given = asked.properties.take("AlarmName", asked.name), asked.properties.take_all(*ALARM_FIELDS)
        self._clients("cloudwatch").put_metric_alarm(AlarmName=name, **given)
        self._alarms.add(name, given)
        return Made(name, {"Arn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{name}"})

    def _dashboard(self, asked: Asked) -> Made:
        name, body = asked.properties.take("DashboardName", asked.name), asked.properties.take("DashboardBody")
        self._clients("cloudwatch").put_dashboard(DashboardName=name, DashboardBody=json.dumps(json.loads(body)))
        return Made(name)

    def _rule(self, asked: Asked) -> Made:
        properties, events = asked.properties, self._clients("events")
        name, targets = properties.take("Name", asked.name), properties.take("Targets", [])
        pattern = json.dumps(properties.take("EventPattern"))
        given = properties.take_all("State", "Description")
        arn = events.put_rule(Name=name, EventPattern=pattern, **given)["RuleArn"]
        for target in targets:
            only(asked.logical_id, target, TARGET_FIELDS)
        events.put_targets(Rule=name, Targets=targets)
        return Made(name, {"Arn": arn})

    def _schedule(self, asked: Asked) -> Made:
        properties, target = asked.properties, asked.properties.take("Target")
        only(asked.logical_id, target, TARGET_FIELDS)
        given = properties.take_all("ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow")
        given |= properties.take_all("State", "Description", "StartDate", "EndDate")
        name = properties.take("Name", asked.name)
        for field in ("MaximumEventAgeInSeconds", "MaximumRetryAttempts"):
            if field in target.get("RetryPolicy", {}):
                target["RetryPolicy"][field] = int(target["RetryPolicy"][field])
        arn = self._clients("scheduler").create_schedule(Name=name, Target=target, **given)["ScheduleArn"]
        return Made(name, {"Arn": arn})

    def _log_group(self, asked: Asked) -> Made:
        logs, name = self._clients("logs"), asked.properties.take("LogGroupName", asked.name)
        key = asked.properties.take_all("KmsKeyId")
        logs.create_log_group(logGroupName=name, **{field[0].lower() + field[1:]: arn for field, arn in key.items()})
        if days := asked.properties.take("RetentionInDays"):
            logs.put_retention_policy(logGroupName=name, retentionInDays=int(days))
        return Made(name, {"Arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*"})

    def _role(self, asked: Asked) -> Made:
        iam, properties = self._clients("iam"), asked.properties
        name, policies = properties.take("RoleName", asked.name), properties.take("Policies", [])
        trust = json.dumps(properties.take("AssumeRolePolicyDocument"))
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        for policy in policies:
            document = json.dumps(
                {"Version": POLICY_VERSION, **policy["PolicyDocument"]}
            )  # SAM's own carry none; moto insists
            iam.put_role_policy(RoleName=name, PolicyName=policy["PolicyName"], PolicyDocument=document)
        self._roles[name] = asked.logical_id
        self._access.add_role(arn, asked.logical_id, policies)
        return Made(name, {"Arn": arn, "RoleId": name})

    def _policy(self, asked: Asked) -> Made:
        """Give roles a policy more."""
        iam, properties = self._clients("iam"), asked.properties
        policy = {"PolicyName": properties.take("PolicyName"), "PolicyDocument": properties.take("PolicyDocument")}
        for role in properties.take("Roles"):
            document = json.dumps(policy["PolicyDocument"])
            iam.put_role_policy(RoleName=role, PolicyName=policy["PolicyName"], PolicyDocument=document)
            arn = iam.get_role(RoleName=role)["Role"]["Arn"]
            self._access.add_role(arn, self._roles[role], [policy])
        return Made(asked.name)

    def _managed_policy(self, asked: Asked) -> Made:
        document = json.dumps(asked.properties.take("PolicyDocument"))
        name = asked.properties.take("ManagedPolicyName", asked.name)
        policy = self._clients("iam").create_policy(PolicyName=name, PolicyDocument=document)["Policy"]
        return Made(policy["Arn"], {"PolicyArn": policy["Arn"]})
