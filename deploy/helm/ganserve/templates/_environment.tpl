{{/* Environment of gateway, worker and migrations. */}}

{{/* A number as it was written: Helm reads all of them as floating point. */}}
{{- define "ganserve.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* What is in the ConfigMap that gateway and workers share. */}}
{{- define "ganserve.settings" -}}
GANSERVE_HOST: "0.0.0.0"
GANSERVE_PORT: "8080"
GANSERVE_WORKER_PORT: "8081"
GANSERVE_TRITON_URL: {{ include "ganserve.tritonUrl" . | quote }}
GANSERVE_STATE_FOLDER: /var/lib/ganserve
{{- if .Values.artifacts.url }}
GANSERVE_ARTIFACTS_URL: {{ .Values.artifacts.url | quote }}
{{- else if .Values.artifacts.existingClaim }}
GANSERVE_ARTIFACTS_URL: file:///artifacts
{{- end }}
{{- if include "ganserve.keysSecret" . }}
GANSERVE_KEYS_FILE: {{ printf "/etc/ganserve/keys/%s" .Values.auth.key | quote }}
{{- else if .Values.auth.allowOpen }}
GANSERVE_ALLOW_OPEN: yes-serve-anyone
{{- end }}
{{- if .Values.signing.existingSecret }}
GANSERVE_C2PA_CERTIFICATE: {{ printf "/etc/ganserve/signing/%s" .Values.signing.certificateKey | quote }}
GANSERVE_C2PA_KEY: {{ printf "/etc/ganserve/signing/%s" .Values.signing.privateKeyKey | quote }}
{{- end }}
{{- with .Values.objectStore.region }}
AWS_REGION: {{ . | quote }}
AWS_DEFAULT_REGION: {{ . | quote }}
{{- end }}
{{- with .Values.objectStore.endpointUrl }}
AWS_ENDPOINT_URL: {{ . | quote }}
{{- end }}
{{- with .Values.tracing.endpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ . | quote }}
OTEL_RESOURCE_ATTRIBUTES: {{ printf "service.namespace=%s,k8s.namespace.name=%s" (include "ganserve.fullname" $) $.Release.Namespace | quote }}
{{- end }}
{{- range $name, $value := .Values.settings }}
GANSERVE_{{ $name }}: {{ include "ganserve.text" $value | quote }}
{{- end }}
{{- end -}}

{{- define "ganserve.tritonUrl" -}}
{{- if include "ganserve.paired" . -}}
127.0.0.1:8001
{{- else -}}
{{- printf "%s-triton:8001" (include "ganserve.fullname" .) -}}
{{- end -}}
{{- end -}}

{{/* Credentials of S3: for gateway, worker and a Triton that reads its models there. */}}
{{- define "ganserve.objectStoreEnvironment" -}}
{{- $store := .Values.objectStore -}}
{{- if or $store.existingSecret $store.accessKeyId }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef:
      name: {{ default (include "ganserve.fullname" .) $store.existingSecret }}
      key: {{ $store.accessKeyIdKey }}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ default (include "ganserve.fullname" .) $store.existingSecret }}
      key: {{ $store.secretAccessKeyKey }}
{{- end }}
{{- end -}}

{{/* What gateway and worker both get besides the ConfigMap. */}}
{{- define "ganserve.environment" -}}
- name: HOME
  value: /tmp
{{- if not (include "ganserve.alone" .) }}
- name: GANSERVE_DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ default (include "ganserve.fullname" .) .Values.database.existingSecret }}
      key: {{ .Values.database.key }}
{{- end }}
{{- include "ganserve.objectStoreEnvironment" . }}
{{- if or .Values.webhooks.existingSecret .Values.webhooks.secret }}
- name: GANSERVE_WEBHOOK_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ default (include "ganserve.fullname" .) .Values.webhooks.existingSecret }}
      key: {{ .Values.webhooks.key }}
{{- end }}
{{- end -}}

{{/* Data of the Secret that is made of what the values contain. */}}
{{- define "ganserve.secretData" -}}
{{- if and .Values.auth.keys (not .Values.auth.existingSecret) }}
{{ .Values.auth.key }}: {{ .Values.auth.keys | quote }}
{{- end }}
{{- if and .Values.database.url (not .Values.database.existingSecret) }}
{{ .Values.database.key }}: {{ .Values.database.url | quote }}
{{- end }}
{{- if and .Values.objectStore.accessKeyId (not .Values.objectStore.existingSecret) }}
{{ .Values.objectStore.accessKeyIdKey }}: {{ .Values.objectStore.accessKeyId | quote }}
{{ .Values.objectStore.secretAccessKeyKey }}: {{ .Values.objectStore.secretAccessKey | quote }}
{{- end }}
{{- if and .Values.webhooks.secret (not .Values.webhooks.existingSecret) }}
{{ .Values.webhooks.key }}: {{ .Values.webhooks.secret | quote }}
{{- end }}
{{- end -}}

{{/* Volumes of gateway and worker: (list . $temporarySizeLimit) */}}
{{- define "ganserve.volumes" -}}
{{- $root := index . 0 -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ index . 1 }}
- name: state
  {{- if and $root.Values.state.existingClaim (include "ganserve.alone" $root) }}
  persistentVolumeClaim:
    claimName: {{ $root.Values.state.existingClaim }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ index . 1 }}
  {{- end }}
{{- with include "ganserve.keysSecret" $root }}
- name: keys
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - key: {{ $root.Values.auth.key }}
        path: {{ $root.Values.auth.key }}
{{- end }}
{{- with $root.Values.signing.existingSecret }}
- name: signing
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with $root.Values.certificates.existingConfigMap }}
- name: certificates
  configMap:
    name: {{ . }}
{{- end }}
{{- with $root.Values.artifacts.existingClaim }}
- name: artifacts
  persistentVolumeClaim:
    claimName: {{ . }}
{{- end }}
{{- end -}}

{{/* A Secret is mounted whole, never by subPath, which would not follow when it changes. */}}
{{- define "ganserve.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
- name: state
  mountPath: /var/lib/ganserve
{{- if include "ganserve.keysSecret" . }}
- name: keys
  mountPath: /etc/ganserve/keys
  readOnly: true
{{- end }}
{{- if .Values.signing.existingSecret }}
- name: signing
  mountPath: /etc/ganserve/signing
  readOnly: true
{{- end }}
{{- if .Values.certificates.existingConfigMap }}
- name: certificates
  mountPath: /etc/ganserve/certificates
  readOnly: true
{{- end }}
{{- if .Values.artifacts.existingClaim }}
- name: artifacts
  mountPath: /artifacts
{{- end }}
{{- end -}}
