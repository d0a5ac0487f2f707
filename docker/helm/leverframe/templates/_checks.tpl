{{/* What a schema cannot say. Every message names the value and what to do. */}}
{{- define "leverframe.checks" -}}
{{- include "leverframe.checkSettings" . -}}
{{- include "leverframe.checkWorkers" . -}}
{{- include "leverframe.checkAutoscaling" . -}}
{{- include "leverframe.checkGateway" . -}}
{{- include "leverframe.checkActuator" . -}}
{{- end -}}

{{- define "leverframe.checkSettings" -}}
{{- $told := fromToml .Values.settings -}}
{{- if hasKey $told "Error" -}}
{{- fail (printf "settings: not TOML: %s" (get $told "Error")) -}}
{{- end -}}
{{- $owned := dict
  "app.datadir" "worker.persistence" "app.instance" "nothing: it is the pod's name"
  "app.web_bind" "bind" "app.web_port" "worker.webPort" "app.processes" "worker.processes" "app.lanes" "worker.lanes"
  "broker.servers" "broker.servers" "broker.ca_file" "broker.ca" "broker.cert_file" "broker.client" "broker.key_file" "broker.client"
  "topics.partitions" "topics.partitions" "topics.route_partitions" "topics.routePartitions" "topics.replication" "topics.replication"
  "actuate.bind" "bind" "actuate.port" "actuator.port"
  "gateway.bind" "bind" "gateway.port" "gateway.port" "gateway.cert_file" "gateway.tls" "gateway.key_file" "gateway.tls" -}}
{{- range $path, $value := $owned -}}
{{- if include "leverframe.has" (list $told $path) -}}
{{- fail (printf "settings: %s is set by the chart; take it out, and set %s of the values" $path $value) -}}
{{- end -}}
{{- end -}}
{{- range list "app.control_key" "app.control_key_before" "app.web_token" "broker.password" "broker.key_password" "broker.oauth_client_secret" "gateway.token" "gateway.token_before" "mlflow.password" "mlflow.token" "notifications.url" "notifications.key" "paging.url" "paging.key" "registry.password" "registry.token" -}}
{{- if include "leverframe.has" (list $told .) -}}
{{- $name := printf "LEVERFRAME_%s" (. | replace "." "__" | upper) -}}
{{- fail (printf "settings: %s is a secret and would stand in a ConfigMap; put it as %s into a Secret, and name that in existingSecret" . $name) -}}
{{- end -}}
{{- end -}}
{{- range $actor, $said := get $told "actors" | default dict -}}
{{- range list "key" "key_before" "token" -}}
{{- if and (kindIs "map" $said) (hasKey $said .) -}}
{{- fail (printf "settings: actors.%s.%s is a secret; put it as LEVERFRAME_ACTORS__%s__%s into a Secret, and name that in existingSecret" $actor . ($actor | upper) (. | upper)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether a table has section.key. */}}
{{- define "leverframe.has" -}}
{{- $parts := splitList "." (index . 1) -}}
{{- $section := get (index . 0) (first $parts) -}}
{{- if and (kindIs "map" $section) (hasKey $section (last $parts)) -}}yes{{- end -}}
{{- end -}}

{{- define "leverframe.checkWorkers" -}}
{{- $most := include "leverframe.processesAtMost" . | int -}}
{{- $all := mul (include "leverframe.replicas" . | int) (int .Values.worker.processes) | int -}}
{{- if gt $all $most -}}
{{- fail (printf "worker: %d processes, but topics.partitions and worker.lanes give work to %d; raise them before the topics hold data, or lower worker.replicas or sizing" $all $most) -}}
{{- end -}}
{{- if and .Values.worker.replicas (lt $all (include "leverframe.processesNeeded" . | int)) -}}
{{- fail (printf "worker.replicas: %d processes, but sizing demands %s; raise worker.replicas, or correct sizing" $all (include "leverframe.processesNeeded" .)) -}}
{{- end -}}
{{- if .Values.worker.persistence.enabled -}}
{{- $size := .Values.worker.persistence.size -}}
{{- $gi := include "leverframe.storeGi" . | int -}}
{{- $has := int (regexFind "^[0-9]+" $size) -}}
{{- if hasSuffix "Ti" $size -}}{{- $has = mul $has 1024 | int -}}{{- end -}}
{{- if lt $has $gi -}}
{{- fail (printf "worker.persistence.size: %s, but sizing demands %dGi of each worker; raise it, or correct sizing" $size $gi) -}}
{{- end -}}
{{- end -}}
{{- if le (int .Values.worker.terminationGracePeriodSeconds) 20 -}}
{{- fail "worker.terminationGracePeriodSeconds: a worker needs up to 20 s to end; give it more" -}}
{{- end -}}
{{- end -}}

{{- define "leverframe.maxReplicas" -}}
{{- $most := div (include "leverframe.processesAtMost" . | int) (int .Values.worker.processes) | int -}}
{{- .Values.worker.autoscaling.maxReplicas | default $most -}}
{{- end -}}

{{- define "leverframe.checkAutoscaling" -}}
{{- with .Values.worker.autoscaling -}}
{{- if .enabled -}}
{{- $max := include "leverframe.maxReplicas" $ | int -}}
{{- $most := include "leverframe.processesAtMost" $ | int -}}
{{- if gt (mul $max (int $.Values.worker.processes) | int) $most -}}
{{- fail (printf "worker.autoscaling.maxReplicas: %d, but topics.partitions and worker.lanes give work to %d processes; lower it" $max $most) -}}
{{- end -}}
{{- if gt (int .minReplicas) $max -}}
{{- fail (printf "worker.autoscaling.minReplicas: %d is more than %d, the most that have work" (int .minReplicas) $max) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "leverframe.checkGateway" -}}
{{- if .Values.gateway.enabled -}}
{{- $without := include "leverframe.setting" (list . "gateway" "without_token" false) -}}
{{- if not (or .Values.gateway.existingSecret .Values.existingSecret (eq $without "true")) -}}
{{- fail "gateway.existingSecret: the gateway starts with a token alone; name a Secret with LEVERFRAME_GATEWAY__TOKEN, or set [gateway] without_token in settings" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "leverframe.checkActuator" -}}
{{- if .Values.actuator.enabled -}}
{{- if not (get (fromToml .Values.settings) "actuators") -}}
{{- fail "actuator.enabled: settings have no section [actuators.NAME], so nothing would be written; add one (docs/actuators.md)" -}}
{{- end -}}
{{- end -}}
{{- end -}}
