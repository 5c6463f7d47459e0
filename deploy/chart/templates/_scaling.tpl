{{/* What replicas are decided by: a list of {name, target, perReplica, query}. A quantile of nothing is NaN, which `> 0` leaves out; then
it is 0, as long as Prometheus knows a server, and nothing otherwise. Times are not shared out among replicas; requests are. */}}
{{- define "attendant.scaling" -}}
{{- $targets := .Values.autoscaling.targets -}}
{{- $job := printf "{job=%s}" (include "attendant.job" . | quote) -}}
{{- $window := .Values.autoscaling.window -}}
{{- range $name, $metric := dict
  "queueSeconds" "attendant_request_queue_time_seconds"
  "ttftSeconds" "attendant_time_to_first_token_seconds"
  "encoderQueueSeconds" "attendant_encoder_queue_seconds"
-}}
{{- with get $targets $name }}
- name: {{ $name }}
  target: {{ toString . | quote }}
  perReplica: false
  query: 'histogram_quantile(0.9, sum by (le) (rate({{ $metric }}_bucket{{ $job }}[{{ $window }}]))) > 0 or 0 * sum(attendant_build_info{{ $job }})'
{{- end -}}
{{- end -}}
{{- with $targets.requestsPerReplica }}
- name: requestsPerReplica
  target: {{ toString . | quote }}
  perReplica: true
  query: 'sum(attendant_num_requests_running{{ $job }}) + sum(attendant_num_requests_waiting{{ $job }})'
{{- end -}}
{{- end -}}
