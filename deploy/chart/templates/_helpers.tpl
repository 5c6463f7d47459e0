{{- define "attendant.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "attendant.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "attendant.labels" -}}
{{ include "attendant.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "attendant.metadata" -}}
name: {{ include "attendant.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "attendant.labels" . | nindent 2 }}
{{- end -}}

{{- define "attendant.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Values.device }}
{{- end -}}
{{- end -}}

{{/* Label `job` of the metrics. It has "attendant" in it, which alerts look for, and is one of Kubernetes' label values. */}}
{{- define "attendant.job" -}}
{{- .Values.autoscaling.job | default (printf "attendant.%s.%s" .Release.Namespace (include "attendant.fullname" .) | trunc 63 | trimSuffix "-" | trimSuffix ".") -}}
{{- end -}}

{{/* Whole processors of the cpu request, 1 or more; empty without a request. */}}
{{- define "attendant.threads" -}}
{{- $cpu := toString ((.Values.resources.requests).cpu | default "") -}}
{{- if hasSuffix "m" $cpu -}}
{{- max 1 (div (int64 (trimSuffix "m" $cpu)) 1000) -}}
{{- else if $cpu -}}
{{- max 1 (int64 (floor (float64 $cpu))) -}}
{{- end -}}
{{- end -}}

{{- define "attendant.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- if eq .Values.device "gpu" -}}
{{- $limits := $resources.limits | default dict -}}
{{- $_ := set $limits .Values.gpu.resource (int .Values.gpu.count) -}}
{{- $_ := set $resources "limits" $limits -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- define "attendant.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Variables of the container. ONNX Runtime gathers figures for its maker otherwise, and CUDA keeps compiled kernels in the home folder,
which is read only. */}}
{{- define "attendant.env" -}}
- {name: ORT_DISABLE_TELEMETRY, value: "1"}
{{- if eq .Values.device "gpu" }}
- {name: CUDA_CACHE_PATH, value: /tmp/cuda}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Peers of a NetworkPolicy, ports of the server: YAML of its ports as the container has them. */}}
{{- define "attendant.ports" -}}
{{- $settings := include "attendant.settings" . | fromYaml -}}
grpc: {{ int $settings.grpc.port }}
http: {{ int $settings.http.port }}
{{- range $port := keys ($settings.vllm_engine | default dict) | sortAlpha }}
vllm-{{ $port }}: {{ int $port }}
{{- end }}
{{- end -}}

{{- define "attendant.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "attendant.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "attendant.tlsSecret" -}}
{{- .Values.tls.secretName | default (printf "%s-tls" (include "attendant.fullname" .)) -}}
{{- end -}}
