{{/* What pods of all components have in common. */}}

{{/* The account of an image, which owns volumes as well: (list . "gateway"), one of .Values.images */}}
{{- define "ganserve.podSecurity" -}}
{{- $user := (index (index . 0).Values.images (index . 1)).user | int64 -}}
runAsNonRoot: true
runAsUser: {{ $user }}
runAsGroup: {{ $user }}
fsGroup: {{ $user }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "ganserve.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Labels and annotations of a pod: (list . "gateway" $values) */}}
{{- define "ganserve.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
labels:
  {{- include "ganserve.selector" (list $root (index . 1)) | nindent 2 }}
  app.kubernetes.io/part-of: ganserve
  {{- with $root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with $values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or $values.podAnnotations (ne (index . 1) "triton") }}
annotations:
  {{- if ne (index . 1) "triton" }}
  # A changed setting replaces the pods; but Triton's, which takes long to start, does not depend on any.
  checksum/settings: {{ include "ganserve.settings" $root | sha256sum }}
  {{- if include "ganserve.ownSecret" $root }}
  checksum/secret: {{ include "ganserve.secretData" $root | sha256sum }}
  {{- end }}
  {{- end }}
  {{- with $values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Where a pod runs, and as whom: (list . "gateway" $values), the first of .Values.images */}}
{{- define "ganserve.placement" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $values := index . 2 -}}
serviceAccountName: {{ include "ganserve.serviceAccountName" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "ganserve.podSecurity" (list $root $image) | nindent 2 }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Spread over zones and nodes, as far as possible: (list . "gateway" $values $label of a revision) */}}
{{- define "ganserve.spread" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index . 2 -}}
topologySpreadConstraints:
{{- if $values.topologySpreadConstraints }}
  {{- toYaml $values.topologySpreadConstraints | nindent 2 }}
{{- else }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "ganserve.selector" (list $root $component) | nindent 8 }}
    matchLabelKeys: [{{ if eq $component "worker" }}controller-revision-hash{{ else }}pod-template-hash{{ end }}]
{{- end }}
{{- end }}
{{- end -}}

{{/* Before SIGTERM: time for proxies to take the pod out. The kubelet can wait by itself since 1.30. */}}
{{- define "ganserve.preStop" -}}
{{- $root := index . 0 -}}
{{- $seconds := index . 1 | int64 -}}
{{- if gt $seconds 0 }}
lifecycle:
  preStop:
    {{- if semverCompare ">=1.30-0" $root.Capabilities.KubeVersion.Version }}
    sleep:
      seconds: {{ $seconds }}
    {{- else }}
    exec:
      command: [sleep, {{ $seconds | quote }}]
    {{- end }}
{{- end }}
{{- end -}}

{{/* How long pods may take to stop: all they do until then, and 5 seconds. Never set by hand. */}}
{{- define "ganserve.gatewayGrace" -}}
{{- $grace := add .Values.gateway.shutdown.preStopSeconds .Values.gateway.shutdown.stopTimeoutSeconds 5 -}}
{{- if include "ganserve.alone" . -}}
{{- $grace = max $grace (add .Values.worker.shutdown.stopTimeoutSeconds 5) -}}
{{- end -}}
{{- if include "ganserve.paired" . -}}
{{- /* Triton is told to stop once all others in the pod have ended. */ -}}
{{- $grace = add $grace .Values.triton.shutdown.exitTimeoutSeconds 5 -}}
{{- end -}}
{{- $grace -}}
{{- end -}}

{{- define "ganserve.workerGrace" -}}
{{- $grace := add .Values.worker.shutdown.stopTimeoutSeconds 5 -}}
{{- if include "ganserve.paired" . -}}
{{- $grace = add $grace .Values.triton.shutdown.exitTimeoutSeconds 5 -}}
{{- end -}}
{{- $grace -}}
{{- end -}}

{{- define "ganserve.tritonGrace" -}}
{{- add .Values.triton.shutdown.preStopSeconds .Values.triton.shutdown.exitTimeoutSeconds 5 -}}
{{- end -}}
