{{/* Names and labels. */}}
{{- define "leverframe.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "leverframe.fullname" -}}
{{- $name := include "leverframe.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What a selector matches: never changes in the life of a release. Takes (list context component). */}}
{{- define "leverframe.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "leverframe.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "leverframe.labels" -}}
{{- $root := index . 0 -}}
{{ include "leverframe.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "leverframe.serviceAccount" -}}
{{- $made := ternary (include "leverframe.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $made .Values.serviceAccount.name -}}
{{- end -}}

{{- define "leverframe.actuatorAccount" -}}
{{- default (printf "%s-actuator" (include "leverframe.fullname" .)) .Values.actuator.serviceAccountName -}}
{{- end -}}

{{/* What listens: worker, and what is switched on beside it, as a list in JSON. */}}
{{- define "leverframe.parts" -}}
{{- $parts := list "worker" -}}
{{- if .Values.gateway.enabled -}}{{- $parts = append $parts "gateway" -}}{{- end -}}
{{- if .Values.actuator.enabled -}}{{- $parts = append $parts "actuator" -}}{{- end -}}
{{- toJson $parts -}}
{{- end -}}

{{- define "leverframe.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What comes from the settings' text, with its default. Takes (list context section key default). */}}
{{- define "leverframe.setting" -}}
{{- $told := fromToml (index . 0).Values.settings -}}
{{- dig (index . 1) (index . 2) (index . 3) $told -}}
{{- end -}}
