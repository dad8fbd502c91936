{{/* The name of a process, by which one of its own is told from the others. */}}
{{- define "recist.processes" -}}
web: {values: web}
worker-containment: {values: workers.containment, queues: "containment,default"}
worker-healing: {values: workers.healing, queues: "diagnosis,healing"}
worker-knowledge: {values: workers.knowledge, queues: knowledge}
worker-notifications: {values: workers.notifications, queues: notifications}
beat: {values: beat}
watcher: {values: watcher}
{{- end }}

{{/* The values of a process. Give `root` and `path` as in the table above. */}}
{{- define "recist.valuesOf" -}}
{{- $found := .root.Values }}
{{- range splitList "." .path }}{{ $found = get $found . }}{{ end }}
{{- toYaml $found }}
{{- end }}

{{/* A sign of life (healing/alive.py), `alive` or `ready`, not older than `seconds`. */}}
{{- define "recist.signOfLife" -}}
exec: {command: [sh, -c, "find /var/lib/recist/{{ .sign }} -type f -newermt '-{{ .seconds }} seconds' | grep -q ."]}
{{- end }}

{{/* One Deployment; give `root`, `component`, `command`, `values`, and as needed `single`, `web`, `asksCluster`. */}}
{{- define "recist.deployment" -}}
{{- $ := .root }}
{{- $autoscaling := .values.autoscaling | default dict }}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "recist.fullname" $ }}-{{ .component }}
  labels:
    {{- include "recist.labels" $ | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  {{- if not $autoscaling.enabled }}
  replicas: {{ .values.replicas | default 1 }}
  {{- end }}
  {{- if .single }}
  # Two of it would tick twice.
  strategy: {type: Recreate}
  {{- else }}
  strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  {{- end }}
  revisionHistoryLimit: 5
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
      serviceAccountName: {{ include "recist.serviceAccount" $ }}
      automountServiceAccountToken: {{ .asksCluster }}
      # Variables named after services (QDRANT_PORT=tcp://…) only confuse.
      enableServiceLinks: false
      terminationGracePeriodSeconds: 60
      securityContext: {{ include "recist.podSecurity" 10001 }}
      {{- with include "recist.placement" $ }}{{ . | nindent 6 }}{{ end }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "recist.selector" $ | nindent 14 }}
              app.kubernetes.io/component: {{ .component }}
      initContainers:
        - name: migrations
          image: {{ include "recist.image" $ | quote }}
          imagePullPolicy: {{ $.Values.image.pullPolicy }}
          command: [sh, -c, "until python manage.py migrate --check >/dev/null 2>&1; do echo 'waiting for the migrations'; sleep 3; done"]
          {{- include "recist.environment" $ | nindent 10 }}
          resources: {{ toYaml $.Values.migrations.resources | nindent 12 }}
          securityContext: {{ include "recist.containerSecurity" $ }}
          volumeMounts: {{ include "recist.volumeMounts" $ | nindent 12 }}
      containers:
        - name: {{ .component }}
          image: {{ include "recist.image" $ | quote }}
          imagePullPolicy: {{ $.Values.image.pullPolicy }}
          command: {{ toJson .command }}
          {{- include "recist.environment" $ | nindent 10 }}
          {{- if .web }}
          ports: [{name: http, containerPort: 8000}]
          startupProbe: {httpGet: {path: /livez, port: http}, periodSeconds: 2, failureThreshold: 60}
          livenessProbe: {httpGet: {path: /livez, port: http}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
          readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 5, timeoutSeconds: 5}
          # Until every proxy knows that this pod is leaving.
          lifecycle: {preStop: {exec: {command: [sleep, "5"]}}}
          {{- else }}
          startupProbe:
            {{- include "recist.signOfLife" (dict "sign" "alive" "seconds" 60) | nindent 12 }}
            periodSeconds: 2
            timeoutSeconds: 5
            failureThreshold: 150
          readinessProbe:
            {{- include "recist.signOfLife" (dict "sign" "ready" "seconds" 30) | nindent 12 }}
            periodSeconds: 10
            timeoutSeconds: 5
          # Whoever waits for Valkey or the network is alive: a restart would not end that outage.
          livenessProbe:
            {{- include "recist.signOfLife" (dict "sign" "alive" "seconds" 300) | nindent 12 }}
            periodSeconds: 30
            timeoutSeconds: 5
          {{- end }}
          resources: {{ toYaml .values.resources | nindent 12 }}
          securityContext: {{ include "recist.containerSecurity" $ }}
          volumeMounts: {{ include "recist.volumeMounts" $ | nindent 12 }}
      volumes: {{ include "recist.volumes" $ | nindent 8 }}
{{- end }}
