{{/* Triton: a container of its own pod, or the sidecar of a gateway or a worker. */}}

{{/* One image, ready to be used as init container or volume. */}}
{{- define "ganserve.modelImage" -}}
{{- include "ganserve.image" (list . .Values.models.image) -}}
{{- end -}}

{{- define "ganserve.modelRepository" -}}
{{- if eq .Values.models.source "objectStore" -}}{{ .Values.models.objectStore.url }}{{- else -}}/models{{- end -}}
{{- end -}}

{{/* (list . "sidecar") or (list . "") */}}
{{- define "ganserve.tritonContainer" -}}
{{- $root := index . 0 -}}
{{- $sidecar := index . 1 -}}
{{- with $root.Values -}}
- name: triton
  image: {{ include "ganserve.tritonImage" $root }}
  imagePullPolicy: {{ .images.pullPolicy }}
  {{- if $sidecar }}
  # A sidecar: it is started before the others, and told to stop after them.
  restartPolicy: Always
  {{- end }}
  {{- if eq .triton.flavour "cpu" }}
  args:
    - triton
    - --production
    {{- range .triton.extraArgs }}
    - {{ . | quote }}
    {{- end }}
  {{- else }}
  # Flags of service/repository/server_flags.py, which has the reasons, and those that depend on this place.
  args:
    - tritonserver
    - {{ printf "--model-repository=%s" (include "ganserve.modelRepository" $root) | quote }}
    - --model-control-mode=explicit
    {{- range .models.load }}
    - {{ printf "--load-model=%s" . | quote }}
    {{- end }}
    - --exit-on-error=false
    - --strict-readiness=false
    - --disable-auto-complete-config
    - --exit-timeout-secs={{ .triton.shutdown.exitTimeoutSeconds | int64 }}
    - --rate-limit=execution_count
    - --rate-limit-resource=gpu_slots:2
    - --cache-config=local,size={{ .triton.responseCacheBytes | int64 }}
    - --grpc-keepalive-time=60000
    - --grpc-keepalive-timeout=20000
    - --grpc-max-connection-age=600000
    - --grpc-max-connection-age-grace=660000
    - --http-restricted-api=inference,shared-memory,model-config,model-repository,statistics,trace,logging:triton-operator=$(TRITON_OPERATOR_KEY)
    - --grpc-restricted-protocol=shared-memory,statistics,trace,logging:triton-operator=$(TRITON_OPERATOR_KEY)
    - --metrics-interval-ms=5000
    - --metrics-config=summary_latencies=true
    - --log-format=ISO8601
    - --pinned-memory-pool-byte-size=268435456
    - --cuda-memory-pool-byte-size=0:268435456
    - --buffer-manager-thread-count=2
    - --model-load-gpu-limit=0:0.9
    - --http-port=8000
    - --grpc-port=8001
    - --grpc-address={{ ternary "127.0.0.1" "0.0.0.0" (not (empty $sidecar)) }}
    - --metrics-port=8002
    {{- with .tracing.endpoint }}
    - --trace-config=mode=opentelemetry
    - --trace-config=level=TIMESTAMPS
    - --trace-config=rate=0  # of requests that come with no trace, such as golden checks, none is recorded
    - {{ printf "--trace-config=opentelemetry,url=%s/v1/traces" (trimSuffix "/" .) | quote }}
    - --trace-config=opentelemetry,resource=service.name=ganserve-triton
    {{- end }}
    {{- range .triton.extraArgs }}
    - {{ . | quote }}
    {{- end }}
  {{- end }}
  env:
    - name: HOME
      value: /tmp
    - name: TRITON_OPERATOR_KEY
      valueFrom:
        secretKeyRef:
          name: {{ include "ganserve.operatorSecret" $root }}
          key: {{ .triton.operatorKey.key }}
    {{- if eq .triton.flavour "cpu" }}
    {{- with .tracing.endpoint }}
    - name: OTEL_EXPORTER_OTLP_ENDPOINT
      value: {{ . | quote }}
    {{- end }}
    - name: GANSERVE_TRITON_HOST
      value: 0.0.0.0
    - name: GANSERVE_MODEL_REPOSITORY
      value: /models
    - name: GANSERVE_STOP_TIMEOUT_SECONDS
      value: {{ .triton.shutdown.exitTimeoutSeconds | int64 | quote }}
    - name: GANSERVE_START_TIMEOUT_SECONDS
      value: {{ .triton.startupSeconds | int64 | quote }}
    {{- end }}
    {{- if eq .models.source "objectStore" }}
    {{- with .objectStore.region }}
    - name: AWS_DEFAULT_REGION
      value: {{ . | quote }}
    {{- end }}
    {{- with include "ganserve.objectStoreEnvironment" $root }}
    {{- . | trim | nindent 4 }}
    {{- end }}
    {{- end }}
    {{- with .triton.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - name: triton-http
      containerPort: 8000
    - name: triton-grpc
      containerPort: 8001
    - name: triton-metrics
      containerPort: 8002
  # Its port opens once models are loaded.
  startupProbe:
    httpGet: {path: /v2/health/ready, port: triton-http}
    periodSeconds: 5
    timeoutSeconds: 3
    failureThreshold: {{ max 3 (div .triton.startupSeconds 5) }}
  livenessProbe:
    httpGet: {path: /v2/health/live, port: triton-http}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  readinessProbe:
    httpGet: {path: /v2/health/ready, port: triton-http}
    periodSeconds: 5
    timeoutSeconds: 3
    failureThreshold: 2
  {{- if not $sidecar }}
  {{- with include "ganserve.preStop" (list $root .triton.shutdown.preStopSeconds) }}
  {{- . | trim | nindent 2 }}
  {{- end }}
  {{- end }}
  securityContext:
    {{- include "ganserve.containerSecurity" $root | nindent 4 }}
    {{- if $sidecar }}
    {{- $user := (index .images (include "ganserve.tritonImageName" $root)).user | int64 }}
    runAsUser: {{ $user }}
    runAsGroup: {{ $user }}
    {{- end }}
  resources:
    {{- include "ganserve.tritonResources" $root | nindent 4 }}
  volumeMounts:
    - name: triton-tmp
      mountPath: /tmp
    - name: triton-shm
      mountPath: /dev/shm
    - name: triton-timings
      mountPath: /var/cache/triton-tensorrt
    {{- if has .models.source (list "pvc" "image") }}
    - name: models
      mountPath: /models
      readOnly: true
      {{- if and (eq .models.source "pvc") .models.pvc.subPath }}
      subPath: {{ .models.pvc.subPath | quote }}
      {{- else if and (eq .models.source "image") (eq .models.image.mount "volume") (ne .models.image.path "/") }}
      subPath: {{ trimPrefix "/" .models.image.path | quote }}
      {{- end }}
    {{- end }}
{{- end }}
{{- end -}}

{{- define "ganserve.tritonResources" -}}
{{- $resources := deepCopy .Values.triton.resources -}}
{{- if eq .Values.triton.flavour "gpu" -}}
{{- $_ := set $resources.limits .Values.triton.gpu.resource (.Values.triton.gpu.count | int64) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* Fetches the models of an image into an empty folder, anew at each start of the pod. */}}
{{- define "ganserve.modelsInit" -}}
{{- if and (eq .Values.models.source "image") (eq .Values.models.image.mount "copy") }}
- name: models
  image: {{ include "ganserve.modelImage" . }}
  imagePullPolicy: {{ .Values.images.pullPolicy }}
  command: [cp, -R, {{ printf "%s/." (trimSuffix "/" .Values.models.image.path) | quote }}, /target/]
  securityContext:
    {{- include "ganserve.containerSecurity" . | nindent 4 }}
  resources:
    requests: {cpu: 100m, memory: 64Mi}
    limits: {cpu: "1", memory: 256Mi}
  volumeMounts:
    - name: models
      mountPath: /target
{{- if .Values.models.image.profile }}
# Settings for production over the configs that came with them (deploy/triton/README.md).
- name: profile
  image: {{ include "ganserve.image" (list . "gateway") }}
  imagePullPolicy: {{ .Values.images.pullPolicy }}
  args: [repository, render, /models, /models, --profile, {{ .Values.models.image.profile }}]
  workingDir: /tmp  # the image's own is open to its own account alone
  env:
    - name: HOME
      value: /tmp
  securityContext:
    {{- include "ganserve.containerSecurity" . | nindent 4 }}
  resources:
    requests: {cpu: 100m, memory: 256Mi}
    limits: {cpu: "1", memory: 1Gi}
  volumeMounts:
    - name: models
      mountPath: /models
    - name: triton-tmp
      mountPath: /tmp
{{- end }}
{{- end }}
{{- end -}}

{{/* What opens those endpoints of Triton that nobody needs in operation. */}}
{{- define "ganserve.operatorSecret" -}}
{{- default (printf "%s-triton-operator" (include "ganserve.fullname" .)) .Values.triton.operatorKey.existingSecret -}}
{{- end -}}

{{- define "ganserve.tritonVolumes" -}}
{{- with .Values -}}
- name: triton-tmp
  emptyDir:
    sizeLimit: {{ .triton.temporarySizeLimit }}
- name: triton-shm
  emptyDir:
    medium: Memory
    sizeLimit: {{ .triton.sharedMemory }}
- name: triton-timings
  {{- if .triton.timingCache.existingClaim }}
  persistentVolumeClaim:
    claimName: {{ .triton.timingCache.existingClaim }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ .triton.timingCache.sizeLimit }}
  {{- end }}
{{- if eq .models.source "pvc" }}
- name: models
  persistentVolumeClaim:
    claimName: {{ .models.pvc.existingClaim }}
    readOnly: true
{{- else if eq .models.source "image" }}
- name: models
  {{- if eq .models.image.mount "volume" }}
  image:
    reference: {{ include "ganserve.modelImage" $ }}
    pullPolicy: {{ .images.pullPolicy }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ .models.image.sizeLimit }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}
