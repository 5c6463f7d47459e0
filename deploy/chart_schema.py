"""What values the chart takes: chart/values.schema.json, by which Helm refuses others before anything is installed."""

from __future__ import annotations

from typing import Any

from attendant.settings import ServeSettings
from pydantic import BaseModel

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
SWITCH: Schema = {"type": "boolean"}
ANY: Schema = {"type": "object"}
"""What Kubernetes itself checks: volumes, affinities, selectors."""
NAME: Schema = {"type": "string", "pattern": r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$", "maxLength": 253}
QUANTITY: Schema = {"type": ["string", "integer", "number"], "pattern": r"^[0-9]+(\.[0-9]+)?(m|[kMGTPE]i?)?$"}
DURATION: Schema = {"type": "string", "pattern": r"^([0-9]+(ms|s|m|h|d))+$"}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
NO_SETTING: Schema = {"type": "string", "not": {"pattern": "^ATTENDANT_"}}
"""A variable that is no setting of the server, which would go before config without the chart's knowing."""
STRINGS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def section(required: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    """An object that has these properties and no others."""
    found: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return found | ({"required": list(required)} if required else {})


def listed(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def one_of(*values: str) -> Schema:
    return {"enum": list(values)}


def number(kind: str = "number", least: float = 0) -> Schema:
    return {"type": kind, "minimum": least}


def or_null(schema: Schema) -> Schema:
    kinds = schema["type"]
    return schema | {"type": [*(kinds if isinstance(kinds, list) else [kinds]), "null"]}


WHOLE = number("integer")
SHARE: Schema = {"type": ["integer", "string"], "minimum": 0, "pattern": r"^[0-9]+%$"}
OBJECTS = listed(ANY)
SECRET_KEY = section(name=NAME, key=TEXT)
RESOURCES: Schema = {
    "type": "object",
    "properties": {part: {"type": "object", "additionalProperties": QUANTITY} for part in ("requests", "limits")},
}
PROBE = section(periodSeconds=number("integer", 1), timeoutSeconds=number("integer", 1), failureThreshold=WHOLE)


def settings() -> Schema:
    """The server's settings, by their names; what each may be, the server itself says at its start."""
    found = _of(ServeSettings)
    found["properties"]["vllm_engine"] = {  # ports of the container and of the Services are made of it
        "type": "object",
        "propertyNames": {"pattern": "^[1-9][0-9]{0,4}$"},
        "additionalProperties": TEXT,
    }
    return found


def _of(model: type[BaseModel]) -> Schema:
    properties: dict[str, Schema] = {}
    for name, field in model.model_fields.items():
        inner = field.annotation
        properties[name] = _of(inner) if isinstance(inner, type) and issubclass(inner, BaseModel) else {}
    return section(**properties)


def values_schema() -> Schema:
    """The whole of it."""
    properties = _server() | _models() | _callers() | _pod() | _around() | _others()
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart",
        **section(**properties),
    }


def _server() -> dict[str, Schema]:
    return {
        "global": ANY,  # Helm's own
        "fullnameOverride": NAME,
        "image": section(
            repository=TEXT,
            tag={"type": "string"},
            digest={"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
            pullPolicy=one_of("Always", "IfNotPresent", "Never"),
            pullSecrets=OBJECTS,
        ),
        "device": one_of("cpu", "gpu"),
        "gpu": section(
            count=number("integer", 1), resource=TEXT, runtimeClassName=NAME, tolerations=OBJECTS, nodeSelector=STRINGS
        ),
        "server": section(enabled=SWITCH),
        "replicas": WHOLE,
        "resources": RESOURCES,
        "config": settings(),
        "routes": {"type": "object", "additionalProperties": ANY},
        "extraEnv": listed(section(("name",), name=NO_SETTING, value=TEXT, valueFrom=ANY)),
        "extraVolumes": OBJECTS,
        "extraVolumeMounts": OBJECTS,
    }


def _models() -> dict[str, Schema]:
    return {
        "models": section(
            source=one_of("demo", "pvc", "init", "image"),
            path={"type": "string", "pattern": "^/"},
            repository=SWITCH,
            pvc=section(claimName=NAME),
            init=section(
                image=TEXT,
                command=listed(TEXT),
                args=listed(TEXT),
                env=OBJECTS,
                envFrom=OBJECTS,
                sizeLimit=QUANTITY,
                resources=RESOURCES,
            ),
            image=section(reference=TEXT, pullPolicy=one_of("Always", "IfNotPresent", "Never"), subPath=TEXT),
        ),
    }


def _callers() -> dict[str, Schema]:
    return {
        "tls": section(
            enabled=SWITCH,
            secretName=NAME,
            certManager=section(
                enabled=SWITCH,
                issuerRef=section(name=NAME, kind=TEXT, group=TEXT),
                dnsNames=listed(TEXT),
                duration=DURATION,
                renewBefore=DURATION,
            ),
            clientCA=SWITCH,
            clientCertificates=one_of("grpc", "optional"),
        ),
        "auth": section(secretName=NAME, key=TEXT, metrics=one_of("scope", "open")),
    }


def _pod() -> dict[str, Schema]:
    rolling = section(maxSurge=SHARE, maxUnavailable=SHARE)
    return {
        "probes": section(service=TEXT, startupSeconds=number("integer", 2), readiness=PROBE, liveness=PROBE),
        "graceSlackSeconds": number("integer", 15),
        "strategy": section(type=one_of("RollingUpdate", "Recreate"), rollingUpdate=or_null(rolling)),
        "podDisruptionBudget": section(enabled=SWITCH, maxUnavailable=SHARE),
        "topologySpread": section(enabled=SWITCH, whenUnsatisfiable=one_of("ScheduleAnyway", "DoNotSchedule")),
        "nodeSelector": STRINGS,
        "tolerations": OBJECTS,
        "affinity": ANY,
        "priorityClassName": NAME,
        "podLabels": STRINGS,
        "podAnnotations": STRINGS,
        "serviceAccount": section(create=SWITCH, name=NAME, annotations=STRINGS),
        "tmpSizeLimit": QUANTITY,
    }


def _around() -> dict[str, Schema]:
    target = or_null({"type": "number", "exclusiveMinimum": 0})
    return {
        "service": section(type=one_of("ClusterIP", "NodePort", "LoadBalancer"), annotations=STRINGS, headless=SWITCH),
        "networkPolicy": section(enabled=SWITCH, clients=OBJECTS, metrics=OBJECTS, egress=or_null(OBJECTS)),
        "autoscaling": section(
            enabled=SWITCH,
            kind=one_of("keda", "hpa"),
            minReplicas=number("integer", 1),
            maxReplicas=number("integer", 1),
            targets=section(
                queueSeconds=target, ttftSeconds=target, encoderQueueSeconds=target, requestsPerReplica=target
            ),
            job={"type": "string", "pattern": r"^([A-Za-z0-9]([-\w.]*[A-Za-z0-9])?)?$", "maxLength": 63},
            window=DURATION,
            behavior=ANY,
            keda=section(
                serverAddress=TEXT,
                pollingInterval=number("integer", 1),
                fallbackReplicas=or_null(WHOLE),
                authenticationRef=NAME,
            ),
        ),
        "monitoring": section(
            podMonitor=section(enabled=SWITCH, interval=DURATION, labels=STRINGS, authorization=ANY, tlsConfig=ANY),
            prometheusRule=section(enabled=SWITCH, labels=STRINGS),
            dashboards=section(enabled=SWITCH, namespace=NAME, labels=STRINGS, annotations=STRINGS),
        ),
    }


def _others() -> dict[str, Schema]:
    paths = listed({"type": "string", "pattern": "^/"}) | {"minItems": 1, "maxItems": 64}
    return {
        "gateway": section(
            enabled=SWITCH,
            parentRefs=OBJECTS,
            grpc=section(enabled=SWITCH, hostnames=listed(TEXT)),
            http=section(
                enabled=SWITCH,
                hostnames=listed(TEXT),
                prefixes=paths,
                timeouts=section(request=DURATION, backendRequest=DURATION),
            ),
            vllm=section(hostnames={"type": "object", "additionalProperties": listed(TEXT) | {"minItems": 1}}),
            backendTLS=section(caConfigMap=NAME, hostname=NAME),
        ),
        "inferencePool": section(
            enabled=SWITCH,
            endpointPicker=section(
                service=NAME,
                port=PORT,
                failureMode=one_of("FailOpen", "FailClose"),
                configApiVersion=TEXT,
                caCertPath=TEXT,
            ),
            paths=paths,
        ),
        "kserve": section(enabled=SWITCH, runtimeName=NAME, autoSelect=SWITCH, ports=section(http=PORT, grpc=PORT)),
        "test": section(tokenSecret=SECRET_KEY),
    }
