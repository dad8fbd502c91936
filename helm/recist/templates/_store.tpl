{{/*
A bundled store: one pod with one volume, for trying out. Give `root`, `component`, `ports` (name: number), `user`,
`container` (YAML of what is its own), `data` (where its volume is mounted), `scratch` (directories that may be lost),
and `storage`, `storageClassName` if it is to keep anything.
*/}}
{{- define "recist.store" -}}
{{- $ := .root }}
{{- $name := print (include "recist.fullname" $) "-" .component }}
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels: {{ include "recist.labels" $ | nindent 4 }}
spec:
  clusterIP: None
  selector:
    {{- include "recist.selector" $ | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
  ports:
    {{- range $port, $number := .ports }}
    - {name: {{ $port }}, port: {{ $number }}}
    {{- end }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  labels:
    {{- include "recist.labels" $ | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
spec:
  serviceName: {{ $name }}
  replicas: 1
  selector:
    matchLabels:
      {{- include "recist.selector" $ | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
  template:
    metadata:
      labels:
        {{- include "recist.selector" $ | nindent 8 }}
        app.kubernetes.io/component: {{ .component }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 60
      securityContext: {{ include "recist.podSecurity" .user }}
      {{- with include "recist.placement" $ }}{{ . | nindent 6 }}{{ end }}
      containers:
        - name: {{ .component }}
          {{- .container | nindent 10 }}
          ports:
            {{- range $port, $number := .ports }}
            - {name: {{ $port }}, containerPort: {{ $number }}}
            {{- end }}
          securityContext: {{ include "recist.containerSecurity" $ }}
          volumeMounts:
            - {name: data, mountPath: {{ .data }}}
            {{- range $index, $path := .scratch }}
            - {name: scratch, mountPath: {{ $path }}, subPath: part-{{ $index }}}
            {{- end }}
      volumes:
        - {name: scratch, emptyDir: {sizeLimit: 256Mi}}
        {{- if not .storage }}
        - {name: data, emptyDir: {sizeLimit: 1Gi}}
        {{- end }}
  {{- if .storage }}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .storageClassName }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ .storage }}}}
  {{- end }}
{{- end }}
