"""Lambda and Step Functions."""

import io
import json
import platform
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from local import layers
from local.async_invoke import AsyncInvoker, AsyncSettings
from local.deploy import Asked, Made, Maker, only
from local.function_config import LATEST, FunctionConfig
from local.iam import Access
from local.lambda_plane import LambdaPlane
from local.resources.clients import Clients
from local.template import TemplateError
from local.wire import ACCOUNT, REGION


class Compute:
    """Functions run in our own plane; moto only knows that they exist."""

    def __init__(self, clients: Clients, plane: LambdaPlane, invoker: AsyncInvoker, access: Access) -> None:
        """Register what is made with the parts that run it."""
        self._clients = clients
        self._plane = plane
        self._invoker = invoker
        self._access = access
        self._layers: dict[str, Path] = {}
        self.machine_roles: list[str] = []
        """ARNs of the roles that the state machines act in."""

    def makers(self) -> Mapping[str, Maker]:
        """The types made here."""
        return {
            "AWS::CodeDeploy::Application": self._nothing,
            "AWS::CodeDeploy::DeploymentGroup": self._deployment_group,
            "AWS::Lambda::Alias": self._alias,
            "AWS::Lambda::EventInvokeConfig": self._event_invoke_config,
            "AWS::Lambda::Function": self._function,
            "AWS::Lambda::LayerVersion": self._layer,
            "AWS::Lambda::Permission": self._permission,
            "AWS::Lambda::Version": self._version,
            "AWS::StepFunctions::StateMachine": self._machine,
        }

    def _layer(self, asked: Asked) -> Made:
        asked.properties.take("Content")
        arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{asked.name}:1"
        self._layers[arn] = layers.directory(_code(asked), platform.machine())
        return Made(arn)

    def _function(self, asked: Asked) -> Made:
        properties = asked.properties
        properties.take("Code")
        logging = properties.take("LoggingConfig", {})
        only(asked.logical_id, logging, {"LogFormat", "LogGroup", "ApplicationLogLevel", "SystemLogLevel"})
        variables = properties.take("Environment", {}).get("Variables", {})
        config = FunctionConfig(
            logical_id=asked.logical_id,
            name=properties.take("FunctionName", asked.name),
            handler=properties.take("Handler"),
            code=_code(asked),
            layers=[self._layers[arn] for arn in properties.take("Layers", [])],
            variables={name: str(value) for name, value in variables.items()},
            timeout=int(properties.take("Timeout", 3)),
            memory=int(properties.take("MemorySize", 128)),
            role=properties.take("Role"),
            json_logs=logging.get("LogFormat") == "JSON",
            log_level=logging.get("ApplicationLogLevel", "INFO"),
        )
        self._describe(config, properties.take("Runtime"), properties.take("Description", ""))
        self._plane.register(config)
        return Made(config.name, {"Arn": config.arn})

    def _describe(self, config: FunctionConfig, runtime: str, description: str) -> None:
        """Tell moto, so that `aws lambda list-functions` and the like answer."""
        self._clients("lambda").create_function(
            FunctionName=config.name,
            Runtime=runtime,
            Description=description,
            Handler=config.handler,
            Role=config.role,
            Timeout=config.timeout,
            MemorySize=config.memory,
            Environment={"Variables": dict(config.variables)},
            Code={"ZipFile": _placeholder(config.code)},
        )

    def _version(self, asked: Asked) -> Made:
        name, description = asked.properties.take("FunctionName"), asked.properties.take("Description", "")
        made = self._clients("lambda").publish_version(FunctionName=name, Description=description)
        self._plane.qualify(name, made["Version"])
        return Made(f"{self._plane.config(name).arn}:{made['Version']}", {"Version": made["Version"]})

    def _alias(self, asked: Asked) -> Made:
        given = asked.properties.take_all("FunctionName", "FunctionVersion", "Name")
        self._clients("lambda").create_alias(**given)
        self._plane.qualify(given["FunctionName"], given["Name"])
        return Made(f"{self._plane.config(given['FunctionName']).arn}:{given['Name']}")

    def _nothing(self, asked: Asked) -> Made:
        return Made(asked.name)

    def _deployment_group(self, asked: Asked) -> Made:
        asked.properties.take_all("ApplicationName", "ServiceRoleArn")
        return Made(asked.name)

    def _permission(self, asked: Asked) -> Made:
        properties = asked.properties
        if properties.take("Action") != "lambda:InvokeFunction":
            message = f"{asked.logical_id}: only lambda:InvokeFunction is known here"
            raise TemplateError(message)
        function = properties.take("FunctionName").split(":function:")[-1]
        self._access.add_permission(function, properties.take("Principal"), properties.take("SourceArn"))
        return Made(asked.name)

    def _event_invoke_config(self, asked: Asked) -> Made:
        properties = asked.properties
        destinations = properties.take("DestinationConfig", {})
        only(asked.logical_id, destinations, {"OnFailure"})
        settings = AsyncSettings(
            retries=int(properties.take("MaximumRetryAttempts", 2)),
            longest_age=float(properties.take("MaximumEventAgeInSeconds", 21_600)),
            on_failure=destinations.get("OnFailure", {}).get("Destination"),
        )
        self._invoker.configure(properties.take("FunctionName"), properties.take("Qualifier", LATEST), settings)
        return Made(asked.name)

    def _machine(self, asked: Asked) -> Made:
        properties = asked.properties
        role = properties.take("RoleArn")
        definition, values = properties.take("DefinitionString"), properties.take("DefinitionSubstitutions", {})
        name = properties.take("StateMachineName", asked.name)
        machine = self._clients("stepfunctions").create_state_machine(
            name=name,
            type=properties.take("StateMachineType", "STANDARD"),
            definition=substituted(asked.logical_id, definition, values),
            roleArn=role,
        )
        self.machine_roles.append(role)
        arn = machine["stateMachineArn"]
        return Made(arn, {"Arn": arn, "Name": name})


def substituted(owner: str, definition: str, values: Mapping[str, object]) -> str:
    """Fill in a machine's DefinitionSubstitutions; every name must be in both places.

    Raises:
        TemplateError: a placeholder without a value, or a value without a placeholder.
    """
    used = set(re.findall(r"\$\{(\w+)\}", definition))
    if used != set(values):
        missing, idle = sorted(used - set(values)), sorted(set(values) - used)
        message = f"{owner}: DefinitionSubstitutions lack {missing} and hold {idle}, which the definition does not use"
        raise TemplateError(message)
    return re.sub(r"\$\{(\w+)\}", lambda match: str(values[match[1]]), definition)


def _code(asked: Asked) -> Path:
    if asked.code is None:
        message = f"{asked.logical_id}: its code must be a directory beside the template"
        raise TemplateError(message)
    return asked.code


def _placeholder(code: Path) -> bytes:
    """A zip that says where the code is: copying 50 MB into moto would take longer than everything else."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("local.json", json.dumps({"directory": str(code)}))
    return buffer.getvalue()
