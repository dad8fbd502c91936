{{- define "recist.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "recist.labels" -}}
app.kubernetes.io/name: recist
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "recist.selector" -}}
app.kubernetes.io/name: recist
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* What a container may: nothing but its work. */}}
{{- define "recist.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "recist.environment" -}}
envFrom:
  - configMapRef: {name: {{ include "recist.fullname" . }}}
env:
  - name: POD_NAMESPACE
    valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
  - name: SECRET_KEY
    valueFrom: {secretKeyRef: {name: {{ .Values.secretKey.existingSecret | default (include "recist.fullname" .) }}, key: {{ if .Values.secretKey.existingSecret }}key{{ else }}secret-key{{ end }}}}
  - name: DATABASE_URL
    valueFrom: {secretKeyRef: {name: {{ .Values.database.existingSecret | default (include "recist.fullname" .) }}, key: {{ if .Values.database.existingSecret }}url{{ else }}database-url{{ end }}}}
  {{- with .Values.llm.apiKeySecret }}
  - name: LLM_API_KEY
    valueFrom: {secretKeyRef: {name: {{ . }}, key: key, optional: true}}
  {{- end }}
  {{- with .Values.qdrant.apiKeySecret }}
  - name: QDRANT_API_KEY
    valueFrom: {secretKeyRef: {name: {{ . }}, key: key}}
  {{- end }}
{{- end }}

{{/* One Deployment; give `root`, `component`, `command`, and as needed `replicas`, `resources`, `migrates`, `web`. */}}
{{- define "recist.deployment" -}}
{{- $ := .root }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "recist.fullname" $ }}-{{ .component }}
  labels:
    {{- include "recist.labels" $ | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  replicas: {{ .replicas | default 1 }}
  {{- if .migrates }}
  # Never two at once: it alone migrates the database, and two beats would tick twice.
  strategy: {type: Recreate}
  {{- end }}
  selector:
    matchLabels:
      {{- include "recist.selector" $ | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
  template:
    metadata:
      labels:
        {{- include "recist.labels" $ | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
      annotations:
        # A changed setting starts the pods anew.
        recist.io/settings: {{ include (print $.Template.BasePath "/configmap.yaml") $ | sha256sum }}
        {{- with $.Values.podAnnotations }}{{ toYaml . | nindent 8 }}{{ end }}
    spec:
      serviceAccountName: {{ include "recist.fullname" $ }}
      # Variables named after services (QDRANT_PORT=tcp://…) only confuse.
      enableServiceLinks: false
      terminationGracePeriodSeconds: 60
      securityContext: {runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, fsGroup: 10001, seccompProfile: {type: RuntimeDefault}}
      {{- with $.Values.imagePullSecrets }}
      imagePullSecrets: {{ toYaml . | nindent 8 }}
      {{- end }}
      initContainers:
        - name: migrations
          image: "{{ $.Values.image.repository }}:{{ $.Values.image.tag }}"
          imagePullPolicy: {{ $.Values.image.pullPolicy }}
          {{- if .migrates }}
          command: [sh, -c, "until python manage.py migrate --noinput; do echo 'the database is not ready'; sleep 3; done"]
          {{- else }}
          command: [sh, -c, "until python manage.py migrate --check >/dev/null 2>&1; do echo 'waiting for the migrations'; sleep 3; done"]
          {{- end }}
          {{- include "recist.environment" $ | nindent 10 }}
          securityContext: {{ include "recist.securityContext" $ | nindent 12 }}
          volumeMounts: [{name: var, mountPath: /var/lib/recist}, {name: tmp, mountPath: /tmp}]
      containers:
        - name: {{ .component }}
          image: "{{ $.Values.image.repository }}:{{ $.Values.image.tag }}"
          imagePullPolicy: {{ $.Values.image.pullPolicy }}
          command: {{ toJson .command }}
          {{- include "recist.environment" $ | nindent 10 }}
          {{- if .web }}
          ports: [{name: http, containerPort: 8000}]
          startupProbe: {httpGet: {path: /livez, port: http}, periodSeconds: 2, failureThreshold: 30}
          livenessProbe: {httpGet: {path: /livez, port: http}, periodSeconds: 10, timeoutSeconds: 3}
          readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 5, timeoutSeconds: 5}
          {{- end }}
          resources: {{ toYaml .resources | nindent 12 }}
          securityContext: {{ include "recist.securityContext" $ | nindent 12 }}
          volumeMounts: [{name: var, mountPath: /var/lib/recist}, {name: tmp, mountPath: /tmp}]
      volumes:
        # Nothing in it has to survive: the record is in PostgreSQL.
        - {name: var, emptyDir: {}}
        - {name: tmp, emptyDir: {}}
      {{- with $.Values.nodeSelector }}
      nodeSelector: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with $.Values.tolerations }}
      tolerations: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with $.Values.affinity }}
      affinity: {{ toYaml . | nindent 8 }}
      {{- end }}
{{- end }}
