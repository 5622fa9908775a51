{{/* What pods are scaled by. The same signals for HPA (from prometheus-adapter) and KEDA (from Prometheus itself). */}}

{{/* Up at once, down a pod a minute: (list $stabilizationSeconds) */}}
{{- define "ganserve.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - {type: Percent, value: 100, periodSeconds: 30}
    - {type: Pods, value: 2, periodSeconds: 30}
  selectPolicy: Max
scaleDown:
  stabilizationWindowSeconds: {{ . | int64 }}
  policies:
    - {type: Pods, value: 1, periodSeconds: 60}
{{- end -}}

{{/* Images admitted by all gateways. */}}
{{- define "ganserve.queryQueueDepth" -}}
sum(ganserve_queue_depth{namespace="{{ .Release.Namespace }}",service="{{ include "ganserve.fullname" . }}"})
{{- end -}}

{{- define "ganserve.queryQueueWait" -}}
histogram_quantile(0.9, sum by (le) (rate(ganserve_queue_seconds_bucket{namespace="{{ .Release.Namespace }}",service="{{ include "ganserve.fullname" . }}"}[2m]))) >= 0 or vector(0)
{{- end -}}

{{/*
Every gateway shows the same backlog, hence the maximum. Absent while the database is away. A job counts as one item until a
worker has listed what it is of, or nobody would ever come to do so.
*/}}
{{- define "ganserve.queryPendingItems" -}}
{{- $terms := list -}}
{{- range list "pending_items" "running_items" "unlisted" -}}
{{- $terms = append $terms (printf `sum(max by (operation) (ganserve_jobs_%s{namespace="%s",service="%s"}))` . $.Release.Namespace (include "ganserve.fullname" $)) -}}
{{- end -}}
{{- join " + " $terms }}
{{- end -}}

{{- define "ganserve.queryOldestPending" -}}
max(ganserve_jobs_oldest_pending_seconds{namespace="{{ .Release.Namespace }}",service="{{ include "ganserve.fullname" . }}"})
{{- end -}}

{{/* One trigger of KEDA: (list . $name $query $threshold $metricType) */}}
{{- define "ganserve.kedaTrigger" -}}
- type: prometheus
  name: {{ index . 1 }}
  metricType: {{ index . 4 }}
  metadata:
    serverAddress: {{ (index . 0).Values.keda.prometheusAddress | quote }}
    query: {{ index . 2 | quote }}
    threshold: {{ include "ganserve.text" (index . 3) | quote }}
    # What is absent is not known, rather than 0: nothing is scaled by it.
    ignoreNullValues: "false"
{{- end -}}

{{/* A number of seconds or items as a Kubernetes quantity. */}}
{{- define "ganserve.quantity" -}}
{{- if eq (floor .) (float64 .) -}}{{ int64 . }}{{- else -}}{{ mulf . 1000 | int64 }}m{{- end -}}
{{- end -}}
