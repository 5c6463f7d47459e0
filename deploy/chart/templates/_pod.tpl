{{/* Probes of the container. The kubelet speaks gRPC without TLS only, has no token and no certificate: with TLS it asks HTTP, and
always a path that is open to everyone. */}}
{{- define "attendant.probes" -}}
{{- $settings := include "attendant.settings" . | fromYaml -}}
{{- $tls := include "attendant.hasTLS" . -}}
{{- $ready := "" -}}
{{- if $tls -}}
{{- $ready = "httpGet: {path: /healthz, port: http, scheme: HTTPS}" -}}
{{- else -}}
{{- $ready = printf "grpc: {port: %d, service: %s}" (int $settings.grpc.port) (.Values.probes.service | quote) -}}
{{- end -}}
startupProbe: # until models are loaded and warm
  {{ $ready }}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: {{ div (add (int .Values.probes.startupSeconds) 1) 2 }}
readinessProbe:
  {{ $ready }}
  {{- toYaml .Values.probes.readiness | nindent 2 }}
livenessProbe: # whether the process answers; models that hang or die are its own business (lifecycle.*)
  {{- if eq (toString ($settings.http).api) "false" }}
  tcpSocket: {port: http}
  {{- else }}
  httpGet: {path: /v2/health/live, port: http{{ if $tls }}, scheme: HTTPS{{ end }}}
  {{- end }}
  {{- toYaml .Values.probes.liveness | nindent 2 }}
{{- end -}}

{{/* The volume with models, without its name. */}}
{{- define "attendant.modelsVolume" -}}
{{- with .Values.models -}}
{{- if eq .source "pvc" -}}
persistentVolumeClaim: {claimName: {{ .pvc.claimName }}, readOnly: true}
{{- else if eq .source "init" -}}
emptyDir: {sizeLimit: {{ .init.sizeLimit }}}
{{- else if eq .source "image" -}}
image: {reference: {{ .image.reference | quote }}, pullPolicy: {{ .image.pullPolicy }}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "attendant.modelsInit" -}}
{{- with .Values.models.init -}}
- name: models
  image: {{ .image | quote }}
  {{- with .command }}
  command:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .args }}
  args:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .env }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .envFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  resources:
    {{- toYaml .resources | nindent 4 }}
  securityContext:
    {{- include "attendant.containerSecurity" $ | nindent 4 }}
  volumeMounts:
    - {name: models, mountPath: {{ $.Values.models.path }}}
    - {name: tmp, mountPath: /tmp}
{{- end -}}
{{- end -}}

{{- define "attendant.spread" -}}
{{- if .Values.topologySpread.enabled -}}
topologySpreadConstraints:
  {{- range tuple "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: {{ $.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "attendant.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end -}}
{{- end -}}
