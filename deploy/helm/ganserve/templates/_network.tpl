{{/* Parts of network policies. */}}

{{/* One rule: (list "egress"|"ingress" $peers (list (dict "port" 443)…)); no peers: anywhere */}}
{{- define "ganserve.networkRule" -}}
{{- $peers := index . 1 -}}
- ports:
    {{- range index . 2 }}
    - protocol: {{ default "TCP" .protocol }}
      port: {{ if kindIs "string" .port }}{{ .port }}{{ else }}{{ .port | int64 }}{{ end }}
    {{- end }}
  {{- if $peers }}
  {{ ternary "to" "from" (eq (index . 0) "egress") }}:
    {{- toYaml $peers | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "ganserve.networkDns" -}}
{{ include "ganserve.networkRule" (list "egress" .Values.networkPolicy.dns (list (dict "port" 53 "protocol" "UDP") (dict "port" 53))) }}
{{- end -}}

{{/* Where gateway and worker both go. */}}
{{- define "ganserve.networkBackends" -}}
{{- $policy := .Values.networkPolicy -}}
{{ include "ganserve.networkDns" . }}
{{- if not (include "ganserve.paired" .) }}
- ports:
    - protocol: TCP
      port: 8001
  to:
    - podSelector:
        matchLabels:
          {{- include "ganserve.selector" (list . "triton") | nindent 10 }}
{{- end }}
{{- if not (include "ganserve.alone" .) }}
{{ include "ganserve.networkRule" (list "egress" $policy.database.to (list $policy.database)) }}
{{- end }}
{{- if include "ganserve.usesS3" . }}
{{ include "ganserve.networkRule" (list "egress" $policy.objectStore.to (list $policy.objectStore)) }}
{{- end }}
{{- if .Values.tracing.endpoint }}
{{ include "ganserve.networkRule" (list "egress" $policy.tracing.to (list $policy.tracing)) }}
{{- end }}
{{- end -}}

{{- define "ganserve.networkWebhooks" -}}
{{- $webhooks := .Values.networkPolicy.webhooks -}}
{{- if $webhooks.ports }}
- ports:
    {{- range $webhooks.ports }}
    - protocol: TCP
      port: {{ . | int64 }}
    {{- end }}
  to:
    - ipBlock:
        cidr: 0.0.0.0/0
        {{- with $webhooks.except }}
        except:
          {{- toYaml . | nindent 10 }}
        {{- end }}
{{- end }}
{{- end -}}

{{- define "ganserve.networkTriton" -}}
{{- if eq .Values.models.source "objectStore" }}
{{ include "ganserve.networkRule" (list "egress" .Values.networkPolicy.objectStore.to (list .Values.networkPolicy.objectStore)) }}
{{- end }}
{{- if .Values.tracing.endpoint }}
{{ include "ganserve.networkRule" (list "egress" .Values.networkPolicy.tracing.to (list .Values.networkPolicy.tracing)) }}
{{- end }}
{{- with .Values.networkPolicy.extraEgress.triton }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Whether jobs' files, or what jobs may read and write, are in S3. */}}
{{- define "ganserve.usesS3" -}}
{{- $settings := .Values.settings -}}
{{- if or (hasPrefix "s3://" .Values.artifacts.url) (contains "s3://" (toString (default "" $settings.JOB_INPUTS))) (contains "s3://" (toString (default "" $settings.JOB_OUTPUTS))) -}}true{{- end -}}
{{- end -}}
