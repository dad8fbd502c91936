{{- define "recist.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "recist.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "recist.fullname" .) }}
{{- end }}

{{- define "recist.image" -}}
{{ .Values.image.repository }}{{ with .Values.image.digest }}@{{ . }}{{ else }}:{{ .Values.image.tag }}{{ end }}
{{- end }}

{{- define "recist.labels" -}}
{{ include "recist.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "recist.selector" -}}
app.kubernetes.io/name: recist
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Pod and container may do nothing but their work: the standard `restricted`. `user` is the image's. */}}
{{- define "recist.podSecurity" -}}
{runAsNonRoot: true, runAsUser: {{ . }}, runAsGroup: {{ . }}, fsGroup: {{ . }}, fsGroupChangePolicy: OnRootMismatch, seccompProfile: {type: RuntimeDefault}}
{{- end }}
{{- define "recist.containerSecurity" -}}
{allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, runAsNonRoot: true, capabilities: {drop: [ALL]}}
{{- end }}

{{/* Which stores are bundled: "true" or nothing. Naming one of your own goes before. */}}
{{- define "recist.bundlesPostgresql" -}}
{{- if .Values.database.existingSecret }}{{ else if .Values.postgresql.enabled }}true{{ else }}
{{- fail "postgresql.enabled is false: name a Secret with DATABASE_URL under the key `url` in database.existingSecret" }}
{{- end }}
{{- end }}
{{- define "recist.bundlesValkey" -}}
{{- if and .Values.valkey.enabled (not .Values.redis.url) (not .Values.redis.existingSecret) }}true{{ end }}
{{- end }}
{{- define "recist.bundlesQdrant" -}}
{{- if and .Values.qdrant.enabled (not .Values.qdrant.url) }}true{{ end }}
{{- end }}

{{- define "recist.qdrantUrl" -}}
{{- if include "recist.bundlesQdrant" . }}http://{{ include "recist.fullname" . }}-qdrant:6334{{ else }}{{ .Values.qdrant.url | default "http://qdrant:6334" }}{{ end }}
{{- end }}

{{/* A port number for the NetworkPolicy, from a URL; nothing for "off" and nothing. */}}
{{- define "recist.portOf" -}}
{{- if contains "://" . }}
{{- $parts := urlParse . }}
{{- $port := regexFind ":[0-9]+$" $parts.host | trimPrefix ":" }}
{{- $port | default (get (dict "http" "80" "https" "443" "redis" "6379" "rediss" "6379") $parts.scheme) }}
{{- end }}
{{- end }}

{{/* Entries of `env` that name the database; all that a migration needs. */}}
{{- define "recist.databaseEnv" -}}
- name: DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.database.existingSecret | default (include "recist.fullname" .) }}, key: {{ if .Values.database.existingSecret }}url{{ else }}database-url{{ end }}}}
{{- end }}

{{- define "recist.environment" -}}
{{- $name := include "recist.fullname" . -}}
envFrom:
  - configMapRef: {name: {{ $name }}}
env:
  - name: POD_NAMESPACE
    valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
  - name: SECRET_KEY
    valueFrom: {secretKeyRef: {name: {{ .Values.secretKey.existingSecret | default $name }}, key: {{ if .Values.secretKey.existingSecret }}key{{ else }}secret-key{{ end }}}}
  - name: SECRET_KEY_FALLBACKS
    valueFrom: {secretKeyRef: {name: {{ .Values.secretKey.existingSecret | default $name }}, key: {{ if .Values.secretKey.existingSecret }}fallbacks{{ else }}secret-key-fallbacks{{ end }}, optional: true}}
  {{- include "recist.databaseEnv" . | nindent 2 }}
  {{- if or .Values.redis.existingSecret (include "recist.bundlesValkey" .) }}
  - name: REDIS_URL
    valueFrom: {secretKeyRef: {name: {{ .Values.redis.existingSecret | default $name }}, key: {{ if .Values.redis.existingSecret }}url{{ else }}redis-url{{ end }}}}
  {{- end }}
  {{- with .Values.llm.apiKeySecret }}
  - name: LLM_API_KEY
    valueFrom: {secretKeyRef: {name: {{ . }}, key: key, optional: true}}
  {{- end }}
  {{- with .Values.embedding.apiKeySecret }}
  - name: EMBEDDING_API_KEY
    valueFrom: {secretKeyRef: {name: {{ . }}, key: key}}
  {{- end }}
  {{- with .Values.qdrant.apiKeySecret }}
  - name: QDRANT_API_KEY
    valueFrom: {secretKeyRef: {name: {{ . }}, key: key}}
  {{- end }}
  {{- with .Values.oidc.existingSecret }}
  - name: OIDC_CLIENT_SECRET
    valueFrom: {secretKeyRef: {name: {{ . }}, key: client-secret}}
  {{- end }}
  {{- with .Values.notifications.existingSecret }}
  {{- range $variable, $key := dict "NOTIFY_SLACK_URL" "slack-url" "NOTIFY_PAGERDUTY_KEY" "pagerduty-key" "NOTIFY_WEBHOOK_KEY" "webhook-key" "SMTP_URL" "smtp-url" }}
  - name: {{ $variable }}
    valueFrom: {secretKeyRef: {name: {{ $.Values.notifications.existingSecret }}, key: {{ $key }}, optional: true}}
  {{- end }}
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Files that our pods read: what is written goes below /var/lib/recist and /tmp. */}}
{{- define "recist.volumeMounts" -}}
- {name: var, mountPath: /var/lib/recist}
- {name: tmp, mountPath: /tmp}
{{- range $source := list "prometheus" "loki" }}
{{- if (get $.Values $source).existingSecret }}
- {name: {{ $source }}, mountPath: /etc/recist/{{ $source }}, readOnly: true}
{{- end }}
{{- end }}
{{- if .Values.clusters.existingSecret }}
- {name: clusters, mountPath: /etc/recist/clusters, readOnly: true}
{{- end }}
{{- end }}
{{- define "recist.volumes" -}}
# Nothing in them has to survive: the record is in PostgreSQL.
- {name: var, emptyDir: {sizeLimit: 2Gi}}
- {name: tmp, emptyDir: {sizeLimit: 512Mi}}
{{- range $source := list "prometheus" "loki" }}
{{- with (get $.Values $source).existingSecret }}
- {name: {{ $source }}, secret: {secretName: {{ . }}, defaultMode: 0440}}
{{- end }}
{{- end }}
{{- with .Values.clusters.existingSecret }}
- {name: clusters, secret: {secretName: {{ . }}, defaultMode: 0440}}
{{- end }}
{{- end }}

{{/* Where pods run. */}}
{{- define "recist.placement" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Annotations of what brings the resource types up to date; give the weight. */}}
{{- define "recist.crdHook" }}
    helm.sh/hook: pre-upgrade
    helm.sh/hook-weight: {{ . | quote }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
