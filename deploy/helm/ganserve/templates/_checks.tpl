{{/* Values that are right one by one and make no sense together. */}}
{{- define "ganserve.checks" -}}
{{- $v := .Values -}}
{{- $alone := include "ganserve.alone" . -}}
{{- if not (or $v.serving.enabled $v.training.enabled) -}}
{{- fail "serving.enabled and training.enabled are both false: there is nothing to install" -}}
{{- end -}}
{{- if $v.serving.enabled -}}
{{- if and (not $v.auth.existingSecret) (not $v.auth.keys) (not $v.auth.allowOpen) -}}
{{- fail "auth: without keys whoever reaches the gateway could use it. Make a file of keys (ganserve keys create NAME --scope generate --keys-file keys.json), a Secret of it (kubectl create secret generic ganserve-keys --from-file keys.json), and set auth.existingSecret=ganserve-keys; or say auth.allowOpen=true" -}}
{{- end -}}
{{- if $alone -}}
{{- if or (gt ($v.gateway.replicas | int64) 1) $v.gateway.autoscaling.enabled -}}
{{- fail "gateway: several gateways share their jobs in PostgreSQL; set database.existingSecret, or gateway.replicas=1 without autoscaling" -}}
{{- end -}}
{{- if $v.worker.autoscaling.enabled -}}
{{- fail "worker.autoscaling: without a database (database.existingSecret) the one worker is in the gateway's pod" -}}
{{- end -}}
{{- else if not (or $v.artifacts.url $v.artifacts.existingClaim) -}}
{{- fail "artifacts: gateways and workers in different pods need one place for files of jobs; set artifacts.url=s3://BUCKET/PREFIX or artifacts.existingClaim" -}}
{{- end -}}
{{- if and $v.artifacts.url $v.artifacts.existingClaim -}}
{{- fail "artifacts: either url or existingClaim" -}}
{{- end -}}
{{- if and $v.objectStore.accessKeyId (not $v.objectStore.secretAccessKey) -}}
{{- fail "objectStore: accessKeyId comes with secretAccessKey" -}}
{{- end -}}
{{- $shutdown := $v.gateway.shutdown -}}
{{- $deadline := default 30 $v.settings.DEFAULT_DEADLINE_SECONDS -}}
{{- if le ($shutdown.stopTimeoutSeconds | float64) (addf $shutdown.drainSeconds $deadline) -}}
{{- fail (printf "gateway.shutdown.stopTimeoutSeconds (%v) has to be more than drainSeconds (%v) and the default deadline (%v) together, or a rollout cuts calls off" $shutdown.stopTimeoutSeconds $shutdown.drainSeconds $deadline) -}}
{{- end -}}
{{- if eq (toString $v.gateway.maxSurge) "0" -}}
{{- if eq (toString $v.gateway.maxUnavailable) "0" -}}
{{- fail "gateway: maxSurge and maxUnavailable are both 0, so nothing could ever be replaced" -}}
{{- end -}}
{{- end -}}
{{- range $name, $scaling := dict "gateway" $v.gateway.autoscaling "worker" $v.worker.autoscaling -}}
{{- if $scaling.enabled -}}
{{- if gt ($scaling.minReplicas | int64) ($scaling.maxReplicas | int64) -}}
{{- fail (printf "%s.autoscaling: minReplicas is more than maxReplicas" $name) -}}
{{- end -}}
{{- if and (eq $scaling.engine "hpa") (lt ($scaling.minReplicas | int64) 1) -}}
{{- fail (printf "%s.autoscaling: only keda scales to 0; minReplicas has to be 1 at least" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $scaling := $v.gateway.autoscaling -}}
{{- if $scaling.enabled -}}
{{- if lt ($scaling.minReplicas | int64) 1 -}}
{{- fail "gateway.autoscaling.minReplicas has to be 1 at least: nobody would answer the call that wakes it" -}}
{{- end -}}
{{- if not (or $scaling.cpuUtilization $scaling.queueDepth $scaling.queueWaitSeconds) -}}
{{- fail "gateway.autoscaling: no signal; set cpuUtilization, queueDepth or queueWaitSeconds" -}}
{{- end -}}
{{- if and (eq $v.topology "shared") (or $scaling.queueDepth $scaling.queueWaitSeconds) -}}
{{- fail "gateway.autoscaling: with topology shared, more gateways do not shorten the queue before the one Triton; use cpuUtilization, or topology: paired" -}}
{{- end -}}
{{- end -}}
{{- if and $v.worker.autoscaling.enabled (not (or $v.worker.autoscaling.pendingItems $v.worker.autoscaling.oldestPendingSeconds)) -}}
{{- fail "worker.autoscaling: no signal; set pendingItems or oldestPendingSeconds" -}}
{{- end -}}
{{- $models := $v.models -}}
{{- if and (eq $models.source "pvc") (not $models.pvc.existingClaim) -}}
{{- fail "models.source is pvc: set models.pvc.existingClaim" -}}
{{- end -}}
{{- if eq $models.source "image" -}}
{{- if not $models.image.repository -}}
{{- fail "models.source is image: set models.image.repository" -}}
{{- end -}}
{{- if not (or $models.image.tag $models.image.digest) -}}
{{- fail "models.source is image: set models.image.tag or models.image.digest; models have versions of their own" -}}
{{- end -}}
{{- if and (eq $models.image.mount "volume") (not (semverCompare ">=1.33-0" .Capabilities.KubeVersion.Version)) -}}
{{- fail (printf "models.image.mount: volume needs Kubernetes 1.33 or newer, and its feature gate ImageVolume before 1.35; this is %s. Use copy" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}
{{- if eq $models.source "objectStore" -}}
{{- if not $models.objectStore.url -}}
{{- fail "models.source is objectStore: set models.objectStore.url" -}}
{{- end -}}
{{- if eq $v.triton.flavour "cpu" -}}
{{- fail "models.source: the Triton of triton.flavour cpu reads no object store; use pvc, image or bundled" -}}
{{- end -}}
{{- end -}}
{{- if and $models.image.profile (or (ne $models.source "image") (ne $models.image.mount "copy")) -}}
{{- fail "models.image.profile: is laid over a copy alone (models.source: image, mount: copy); others are rendered before, by ganserve repository render" -}}
{{- end -}}
{{- if and (ne $v.gateway.service.type "ClusterIP") $v.networkPolicy.enabled (not (contains "cidr" (toJson $v.networkPolicy.clients))) -}}
{{- fail (printf "networkPolicy.clients: a Service of type %s is called from outside of the cluster; name those addresses, such as [{ipBlock: {cidr: 0.0.0.0/0}}]" $v.gateway.service.type) -}}
{{- end -}}
{{- if and $v.monitoring.serviceMonitor.enabled (hasKey $v.settings "OPEN_METRICS") (ne (toString $v.settings.OPEN_METRICS) "true") -}}
{{- fail "settings.OPEN_METRICS: Prometheus is given no key; leave it true, since neither Ingress nor HTTPRoute publishes /metrics" -}}
{{- end -}}
{{- if hasPrefix "[" (default "" $v.settings.ALLOWED_HOSTS) -}}
{{- fail "settings.ALLOWED_HOSTS: write it with commas; the address of the pod is added to it" -}}
{{- end -}}
{{- range $name := list "WEBHOOK_CA" "C2PA_TRUST_ANCHORS" -}}
{{- $file := toString (default "" (index $v.settings $name)) -}}
{{- if and (hasPrefix "/etc/ganserve/certificates/" $file) (not $v.certificates.existingConfigMap) -}}
{{- fail (printf "settings.%s: set certificates.existingConfigMap, which has that file" $name) -}}
{{- end -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.host) -}}
{{- fail "ingress.host: name the host, so that others are not answered" -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: name the Gateway" -}}
{{- end -}}
{{- end -}}
{{- if $v.training.enabled -}}
{{- range $key := list "name" "preset" -}}
{{- if not (index $v.training $key) -}}
{{- fail (printf "training.%s: has to be set" $key) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "data" "runs" -}}
{{- if not (index $v.training $key).existingClaim -}}
{{- fail (printf "training.%s.existingClaim: has to be set" $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
