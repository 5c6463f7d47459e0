{{/* The settings of the server: what the chart knows, and over it what `config` says. */}}
{{- define "attendant.settings" -}}
{{- $threads := include "attendant.threads" . -}}
{{- $engine := dict -}}
{{- $encoder := dict -}}
{{- if $threads -}}
{{- $_ := set $engine "threads" (int $threads) -}}
{{- $_ := set $encoder "threads" (int $threads) -}}
{{- end -}}
{{- $settings := dict
  "engine" $engine
  "encoder" $encoder
  "grpc" (dict "host" "0.0.0.0" "port" 50051 "max_connection_age_s" 300)
  "http" (dict "host" "0.0.0.0" "port" 9090 "max_connection_age_s" 300)
  "lifecycle" (dict "drain_delay_s" 5 "watchdog_exit_s" 0)
  "drain_timeout_s" 60
-}}
{{- if eq .Values.models.source "demo" -}}
{{- $_ := set $settings "demo" true -}}
{{- else if .Values.models.repository -}}
{{- $_ := set $settings "model_repository" .Values.models.path -}}
{{- else -}}
{{- $_ := set $settings "bundles" (list .Values.models.path) -}}
{{- end -}}
{{- if and (eq .Values.device "gpu") (gt (int .Values.gpu.count) 1) -}}
{{- $_ := set $settings "gpu" (dict "devices" (until (int .Values.gpu.count))) -}}
{{- end -}}
{{- if .Values.tls.enabled -}}
{{- $tls := dict "certificate" "/etc/attendant/tls/tls.crt" "key" "/etc/attendant/tls/tls.key" -}}
{{- if .Values.tls.clientCA -}}
{{- $_ := set $tls "client_ca" "/etc/attendant/tls/ca.crt" -}}
{{- $_ := set $tls "client_certificates" .Values.tls.clientCertificates -}}
{{- end -}}
{{- $_ := set $settings "tls" $tls -}}
{{- end -}}
{{- if or .Values.auth.secretName (and .Values.tls.enabled .Values.tls.clientCA) -}}
{{- $_ := set $settings "require_auth" true -}}
{{- $_ := set $settings "auth" (dict "metrics" .Values.auth.metrics) -}}
{{- if .Values.auth.secretName -}}
{{- $_ := set $settings.auth "tokens" (printf "/etc/attendant/callers/%s" .Values.auth.key) -}}
{{- end -}}
{{- end -}}
{{- if .Values.routes -}}
{{- $_ := set $settings "routes" "/etc/attendant/config/routes.yaml" -}}
{{- end -}}
{{- range $name, $value := .Values.config -}}
{{- /* not mergeOverwrite, which leaves out 0 and false */ -}}
{{- if and (kindIs "map" $value) (kindIs "map" (get $settings $name)) -}}
{{- range $key, $inner := $value -}}
{{- $_ := set (get $settings $name) $key $inner -}}
{{- end -}}
{{- else -}}
{{- $_ := set $settings $name $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* Seconds from SIGTERM to SIGKILL. */}}
{{- define "attendant.grace" -}}
{{- $settings := include "attendant.settings" . | fromYaml -}}
{{- $drain := addf $settings.lifecycle.drain_delay_s $settings.drain_timeout_s -}}
{{- add (int64 (ceil $drain)) (int64 .Values.graceSlackSeconds) -}}
{{- end -}}

{{/* "true" if the server's ports have TLS, whoever said so. */}}
{{- define "attendant.hasTLS" -}}
{{- if ((include "attendant.settings" . | fromYaml).tls).certificate -}}true{{- end -}}
{{- end -}}

{{/* "true" if the server asks callers who they are before it shows metrics. */}}
{{- define "attendant.closedMetrics" -}}
{{- $settings := include "attendant.settings" . | fromYaml -}}
{{- if and (or ($settings.auth).tokens ($settings.tls).client_ca) (ne (($settings.auth).metrics | default "scope") "open") -}}true{{- end -}}
{{- end -}}

{{/* The same where KServe runs the server: it brings the models, ends TLS before it, and has ports of its own. */}}
{{- define "attendant.kserveSettings" -}}
{{- $settings := include "attendant.settings" . | fromYaml -}}
{{- $_ := unset $settings "demo" -}}
{{- $_ := unset $settings "bundles" -}}
{{- $_ := unset $settings "model_repository" -}}
{{- if .Values.models.repository -}}
{{- $_ := set $settings "model_repository" "/mnt/models" -}}
{{- else -}}
{{- $_ := set $settings "bundles" (list "/mnt/models") -}}
{{- end -}}
{{- if .Values.tls.enabled -}}
{{- $_ := unset $settings "tls" -}}
{{- if not .Values.auth.secretName -}}
{{- $_ := unset $settings "require_auth" -}}
{{- $_ := unset $settings "auth" -}}
{{- end -}}
{{- end -}}
{{- $_ := set $settings.http "port" (int .Values.kserve.ports.http) -}}
{{- $_ := set $settings.grpc "port" (int .Values.kserve.ports.grpc) -}}
{{- toYaml $settings -}}
{{- end -}}
