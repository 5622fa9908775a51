{{/* The containers of gateway and worker. */}}

{{- define "ganserve.gatewayContainer" -}}
- name: gateway
  image: {{ include "ganserve.image" (list . "gateway") }}
  imagePullPolicy: {{ .Values.images.pullPolicy }}
  args: [gateway]
  envFrom:
    - configMapRef:
        name: {{ include "ganserve.fullname" . }}
  env:
    {{- include "ganserve.environment" . | nindent 4 }}
    - name: GANSERVE_DRAIN_SECONDS
      value: {{ .Values.gateway.shutdown.drainSeconds | int64 | quote }}
    - name: GANSERVE_STOP_TIMEOUT_SECONDS
      value: {{ .Values.gateway.shutdown.stopTimeoutSeconds | int64 | quote }}
    {{- with .Values.settings.ALLOWED_HOSTS }}
    # Prometheus asks for metrics by address.
    - name: POD_IP
      valueFrom:
        fieldRef:
          fieldPath: status.podIP
    - name: GANSERVE_ALLOWED_HOSTS
      value: {{ printf "%s,$(POD_IP)" . | quote }}
    {{- end }}
    {{- with .Values.rateLimit.existingSecret }}
    - name: GANSERVE_RATE_LIMIT_STORAGE
      valueFrom:
        secretKeyRef:
          name: {{ . }}
          key: {{ $.Values.rateLimit.key }}
    {{- end }}
    {{- with .Values.gateway.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: http
      containerPort: 8080
  startupProbe:
    httpGet: {path: /healthz, port: http}
    periodSeconds: 2
    timeoutSeconds: 2
    failureThreshold: 60
  # Whether its event loop turns; whatever Triton and the database do, a restart would not help them.
  livenessProbe:
    httpGet: {path: /healthz, port: http}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  # Whether it can serve: Triton answers and a model takes traffic. Asks Triton, which takes up to a second.
  readinessProbe:
    httpGet: {path: /readyz, port: http}
    periodSeconds: 5
    timeoutSeconds: 4
    failureThreshold: 2
  {{- with include "ganserve.preStop" (list . .Values.gateway.shutdown.preStopSeconds) }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  securityContext:
    {{- include "ganserve.containerSecurity" . | nindent 4 }}
  resources:
    {{- toYaml .Values.gateway.resources | nindent 4 }}
  volumeMounts:
    {{- include "ganserve.volumeMounts" . | nindent 4 }}
{{- end -}}

{{- define "ganserve.workerContainer" -}}
- name: worker
  image: {{ include "ganserve.image" (list . "gateway") }}
  imagePullPolicy: {{ .Values.images.pullPolicy }}
  args: [worker]
  envFrom:
    - configMapRef:
        name: {{ include "ganserve.fullname" . }}
  env:
    {{- include "ganserve.environment" . | nindent 4 }}
    # A worker that comes back under its name takes up at once what it left.
    - name: GANSERVE_WORKER_ID
      {{- if include "ganserve.alone" . }}
      value: {{ printf "%s-worker-0" (include "ganserve.fullname" .) | quote }}
      {{- else }}
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
      {{- end }}
    - name: GANSERVE_STOP_TIMEOUT_SECONDS
      value: {{ .Values.worker.shutdown.stopTimeoutSeconds | int64 | quote }}
    {{- with .Values.worker.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: worker-metrics
      containerPort: 8081
  # Its port opens once the database has been reached; it is given ten minutes for that.
  startupProbe:
    httpGet: {path: /healthz, port: worker-metrics}
    periodSeconds: 5
    timeoutSeconds: 2
    failureThreshold: 120
  livenessProbe:
    httpGet: {path: /healthz, port: worker-metrics}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  # Nobody calls a worker: this holds a rollout back while new ones do not reach the database.
  readinessProbe:
    httpGet: {path: /readyz, port: worker-metrics}
    periodSeconds: 5
    timeoutSeconds: 2
    failureThreshold: 3
  securityContext:
    {{- include "ganserve.containerSecurity" . | nindent 4 }}
  resources:
    {{- toYaml .Values.worker.resources | nindent 4 }}
  volumeMounts:
    {{- include "ganserve.volumeMounts" . | nindent 4 }}
{{- end -}}

{{/* What comes before gateway or worker in a pod with a Triton of its own. */}}
{{- define "ganserve.sidecar" -}}
{{- if include "ganserve.paired" . }}
{{- with .Values.triton.gpu.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
initContainers:
  {{- with include "ganserve.modelsInit" . }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  {{- include "ganserve.tritonContainer" (list . "sidecar") | nindent 2 }}
{{- end }}
{{- end -}}
