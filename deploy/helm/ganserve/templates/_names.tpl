{{/* Names, labels and images. */}}

{{- define "ganserve.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods of a component: (list . "gateway"). */}}
{{- define "ganserve.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride | trunc 63 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "ganserve.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 }}
{{ include "ganserve.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: ganserve
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ganserve.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "ganserve.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* (list . "gateway"), one of .Values.images; or (list . $image) */}}
{{- define "ganserve.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if kindIs "string" $image -}}
{{- $image = index $root.Values.images $image -}}
{{- end -}}
{{- $registry := default $root.Values.images.registry $image.registry -}}
{{- if not $registry -}}
{{- fail "images.registry: name the registry that the images of deploy/docker were pushed to, such as registry.example.com" -}}
{{- end -}}
{{- if eq $image.tag "latest" -}}
{{- fail (printf "%s: latest is a tag that moves; nobody could say what runs, or go back. Name a version or a digest" $image.repository) -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s/%s@%s" $registry $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s/%s:%s" $registry $image.repository (default $root.Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "ganserve.tritonImageName" -}}
{{- ternary "tritonCpu" "triton" (eq .Values.triton.flavour "cpu") -}}
{{- end -}}

{{- define "ganserve.tritonImage" -}}
{{- include "ganserve.image" (list . (include "ganserve.tritonImageName" .)) -}}
{{- end -}}

{{/* Whether jobs are in SQLite, for gateway and worker in one pod. */}}
{{- define "ganserve.alone" -}}
{{- if not (or .Values.database.existingSecret .Values.database.url) -}}true{{- end -}}
{{- end -}}

{{- define "ganserve.paired" -}}
{{- if eq .Values.topology "paired" -}}true{{- end -}}
{{- end -}}

{{/* Whether there is a StatefulSet of workers. */}}
{{- define "ganserve.workers" -}}
{{- if and .Values.serving.enabled .Values.worker.enabled (not (include "ganserve.alone" .)) -}}true{{- end -}}
{{- end -}}

{{/* Whether the chart makes a Secret, of what the values contain. */}}
{{- define "ganserve.ownSecret" -}}
{{- if or .Values.auth.keys .Values.database.url .Values.objectStore.accessKeyId .Values.webhooks.secret -}}true{{- end -}}
{{- end -}}

{{- define "ganserve.keysSecret" -}}
{{- if .Values.auth.existingSecret -}}{{ .Values.auth.existingSecret }}{{- else if .Values.auth.keys -}}{{ include "ganserve.fullname" . }}{{- end -}}
{{- end -}}
