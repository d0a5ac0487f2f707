{{/* What worker, gateway, actuator and doctor share. */}}
{{- define "leverframe.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "leverframe.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The beginning of each pod's spec. A Service called leverframe would set LEVERFRAME_PORT: no links. */}}
{{- define "leverframe.podHead" -}}
{{- include "leverframe.podHeadAs" (list . (include "leverframe.serviceAccount" .)) -}}
{{- end -}}

{{/* The same under another account. Takes (list context serviceAccountName). */}}
{{- define "leverframe.podHeadAs" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ index . 1 }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "leverframe.podSecurity" $root | nindent 2 }}
{{- end -}}

{{/* Where a pod may run. Takes (list context component). */}}
{{- define "leverframe.placement" -}}
{{- $part := get (index . 0).Values (index . 1) -}}
topologySpreadConstraints:
  {{- if $part.topologySpreadConstraints }}
  {{- toYaml $part.topologySpreadConstraints | nindent 2 }}
  {{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "leverframe.selector" . | nindent 8 }}
  {{- end }}
{{- with $part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Labels and annotations of a pod; it restarts when the settings change. Takes (list context component). */}}
{{- define "leverframe.podMetadata" -}}
{{- $root := index . 0 -}}
{{- $part := get $root.Values (index . 1) -}}
labels:
  {{- include "leverframe.labels" . | nindent 2 }}
  {{- with $part.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/settings: {{ $root.Values.settings | sha256sum }}
  {{- with $part.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Secrets come whole, by name. Takes (list context existingSecret). */}}
{{- define "leverframe.envFrom" -}}
{{- $names := compact (list (index . 0).Values.existingSecret (index . 1)) | uniq -}}
{{- if $names -}}
envFrom:
  {{- range $names }}
  - secretRef:
      name: {{ . }}
  {{- end }}
{{- end -}}
{{- end -}}

{{- define "leverframe.env" -}}
- name: LEVERFRAME_CONFIG
  value: /etc/leverframe/leverframe.toml
- name: LEVERFRAME_BROKER__SERVERS
  value: {{ required "broker.servers: name the brokers, host:port separated by commas" .Values.broker.servers | quote }}
- name: LEVERFRAME_TOPICS__PARTITIONS
  value: {{ .Values.topics.partitions | quote }}
- name: LEVERFRAME_TOPICS__ROUTE_PARTITIONS
  value: {{ .Values.topics.routePartitions | quote }}
- name: LEVERFRAME_TOPICS__REPLICATION
  value: {{ .Values.topics.replication | quote }}
{{- with .Values.broker.ca }}
{{- if .secret }}
- name: LEVERFRAME_BROKER__CA_FILE
  value: /etc/leverframe/ca/{{ .key }}
{{- end }}
{{- end }}
{{- with .Values.broker.client }}
{{- if .secret }}
- name: LEVERFRAME_BROKER__CERT_FILE
  value: /etc/leverframe/client/{{ .cert }}
- name: LEVERFRAME_BROKER__KEY_FILE
  value: /etc/leverframe/client/{{ .key }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "leverframe.mounts" -}}
- name: settings
  mountPath: /etc/leverframe/leverframe.toml
  subPath: leverframe.toml
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- if .Values.broker.ca.secret }}
- name: ca
  mountPath: /etc/leverframe/ca
  readOnly: true
{{- end }}
{{- if .Values.broker.client.secret }}
- name: client
  mountPath: /etc/leverframe/client
  readOnly: true
{{- end }}
{{- end -}}

{{- define "leverframe.volumes" -}}
- name: settings
  configMap:
    name: {{ include "leverframe.fullname" . }}-settings
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with .Values.broker.ca.secret }}
- name: ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.broker.client.secret }}
- name: client
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- end -}}
