{{- define "streamz.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* The start of every object's name, short enough for what follows it. */}}
{{- define "streamz.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "streamz.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "streamz.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Called with the root and a component: (list . "gateway"). */}}
{{- define "streamz.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "streamz.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Of pods: without the chart's version, which is no reason to replace them. */}}
{{- define "streamz.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "streamz.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: streamz
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "streamz.labels" -}}
{{- $root := index . 0 -}}
{{ include "streamz.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: streamz
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "streamz.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "streamz.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "streamz.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{/* The addresses of TURN that devices are given, those of the chart's own coturn first. */}}
{{- define "streamz.turnUrls" -}}
{{- $urls := list }}
{{- with .Values.coturn }}
{{- if .enabled }}
{{- $host := required "coturn.host: write the name under which devices reach coturn" .host }}
{{- $port := int .listeningPort }}
{{- $urls = list (printf "stun:%s:%d" $host $port) (printf "turn:%s:%d?transport=udp" $host $port) (printf "turn:%s:%d?transport=tcp" $host $port) }}
{{- end }}
{{- end }}
{{- concat $urls .Values.turn.urls | join "," }}
{{- end }}

{{/* Not empty if a secret is shared with TURN servers. */}}
{{- define "streamz.turnSecretUsed" -}}
{{- if or (contains "turn:" (include "streamz.turnUrls" .)) (contains "turns:" (include "streamz.turnUrls" .)) }}yes{{ end }}
{{- end }}

{{- define "streamz.keysSecret" -}}{{ include "streamz.fullname" . }}-keys{{- end }}
{{- define "streamz.urlsSecret" -}}{{ include "streamz.fullname" . }}-urls{{- end }}

{{/* One variable from a Secret: (list root values-section own-secret variable). */}}
{{- define "streamz.secretEnv" -}}
{{- $section := index . 1 -}}
- name: {{ index . 3 }}
  valueFrom:
    secretKeyRef:
      name: {{ $section.existingSecret | default (index . 2) }}
      key: {{ if $section.existingSecret }}{{ $section.existingSecretKey }}{{ else }}{{ index . 3 }}{{ end }}
{{- end }}

{{/* The variables that gateways and nodes share: the root. */}}
{{- define "streamz.env" -}}
- name: ENV
  value: production
{{ include "streamz.secretEnv" (list . .Values.database (include "streamz.urlsSecret" .) "DATABASE_URL") }}
{{ include "streamz.secretEnv" (list . .Values.redis (include "streamz.urlsSecret" .) "REDIS_URL") }}
# What the processes know each other by stays the same when it signs no more.
- name: {{ ternary "JWT_SECRET" "BUS_SECRET" .Values.signingKeys.secretVerifies }}
  valueFrom:
    secretKeyRef:
      name: {{ .Values.jwt.existingSecret | default (include "streamz.keysSecret" .) }}
      key: {{ ternary .Values.jwt.existingSecretKey "JWT_SECRET" (ne .Values.jwt.existingSecret "") }}
- name: DRAIN_TIMEOUT
  value: {{ printf "%ds" (int .Values.drainTimeoutSeconds) }}
{{- with .Values.allowedOrigins }}
- name: ALLOWED_ORIGINS
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.trustedProxies }}
- name: TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
{{- with include "streamz.turnUrls" . }}
- name: TURN_URLS
  value: {{ . | quote }}
{{- end }}
{{- if include "streamz.turnSecretUsed" . }}
{{ include "streamz.secretEnv" (list . .Values.turn (include "streamz.keysSecret" .) "TURN_SECRET") }}
{{- end }}
{{- if .Values.ca.existingSecret }}
# Whom rediss:// believes.
- name: SSL_CERT_FILE
  value: /etc/streamz/ca/ca.crt
{{- end }}
{{- with .Values.telemetry.otlpEndpoint }}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name={{ $.Release.Namespace }},k8s.pod.name=$(POD_NAME){{ with $.Values.telemetry.resourceAttributes }},{{ . }}{{ end }}
{{- end }}
{{- range $name, $value := .Values.config }}
- name: {{ $name }}
  value: {{ if kindIs "float64" $value }}{{ printf "%.0f" $value | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- end }}

{{/* The restricted Pod Security Standard. */}}
{{- define "streamz.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "streamz.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "streamz.signingEnv" -}}
{{- with .Values.signingKeys }}
{{- if .existingSecret }}
- name: JWT_KEYS_DIR
  value: /etc/streamz/keys
{{- with .signing }}
- name: JWT_SIGNING_KEY
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "streamz.volumes" -}}
{{- $root := index . 0 }}
{{- $keys := and (eq (index . 1) "gateway") $root.Values.signingKeys.existingSecret }}
{{- if or $keys $root.Values.ca.existingSecret }}
volumes:
{{- with $root.Values.ca }}
{{- if .existingSecret }}
  - name: ca
    secret:
      secretName: {{ .existingSecret }}
      items: [{key: {{ .existingSecretKey | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- if $keys }}
  - name: signing-keys
    secret:
      secretName: {{ $keys }}
      defaultMode: 0440
{{- end }}
{{- end }}
{{- end }}

{{- define "streamz.volumeMounts" -}}
{{- $root := index . 0 }}
{{- $keys := and (eq (index . 1) "gateway") $root.Values.signingKeys.existingSecret }}
{{- if or $keys $root.Values.ca.existingSecret }}
volumeMounts:
{{- if $root.Values.ca.existingSecret }}
  - {name: ca, mountPath: /etc/streamz/ca, readOnly: true}
{{- end }}
{{- if $keys }}
  - {name: signing-keys, mountPath: /etc/streamz/keys, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{/* What is the same in the pods of gateways and nodes: (list root "gateway" grace-seconds). */}}
{{- define "streamz.podStart" -}}
{{- $root := index . 0 }}
{{- $component := index . 1 }}
{{- $values := index $root.Values $component -}}
serviceAccountName: {{ include "streamz.serviceAccount" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ index . 2 }}
securityContext: {{- include "streamz.podSecurity" $root | nindent 2 }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- range $key, $when := dict "topology.kubernetes.io/zone" $values.topologySpread.zones "kubernetes.io/hostname" $values.topologySpread.hosts }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ $when }}
    labelSelector:
      matchLabels: {{- include "streamz.selector" (list $root $component) | nindent 8 }}
    # Old and new pods of a rollout are counted apart.
    matchLabelKeys: [{{ if eq $component "gateway" }}pod-template-hash{{ else }}controller-revision-hash{{ end }}]
{{- end }}
{{- end }}

{{/* Liveness asks this process alone; readiness asks Postgres and Redis too, and is patient: if either is away for a moment,
the gateways that hold the connected devices should not all be taken out of service. */}}
{{- define "streamz.probes" -}}
startupProbe:
  httpGet: {path: /health, port: operations}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /health, port: operations}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /ready, port: operations}
  periodSeconds: 5
  timeoutSeconds: 4
  failureThreshold: 6
{{- end }}

{{/* A pod is made anew when the addresses in its Secret change. The keys are not among them: a new key wants all to be stopped. */}}
{{- define "streamz.checksum" -}}
checksum/urls: {{ list .Values.database.url .Values.redis.urls | toJson | sha256sum }}
{{- end }}

{{/* Ports that egress is allowed to: from the URL if the chart knows it. */}}
{{- define "streamz.databasePort" -}}
{{- $port := regexFind ":[0-9]+/" (regexReplaceAll "^[^@]*@" .Values.database.url "/") -}}
{{- if .Values.database.url }}{{ $port | trimAll ":/" | default "5432" }}{{ else }}{{ .Values.networkPolicy.databasePort }}{{ end }}
{{- end }}

{{- define "streamz.redisPorts" -}}
{{- if .Values.redis.urls }}
{{- $ports := list }}
{{- range .Values.redis.urls }}
{{- $ports = append $ports (regexFind ":[0-9]+(/|$)" (regexReplaceAll "^rediss?://([^@]*@)?" . "") | trimAll ":/" | default "6379" | int) }}
{{- end }}
{{- uniq $ports | sortAlpha | join "," }}
{{- else }}
{{- .Values.networkPolicy.redisPorts | join "," }}
{{- end }}
{{- end }}

{{- define "streamz.otlpPort" -}}
{{- with .Values.telemetry.otlpEndpoint }}
{{- regexFind ":[0-9]+" (regexReplaceAll "^https?://" . "") | trimPrefix ":" | default (ternary "443" "80" (hasPrefix "https" .)) }}
{{- end }}
{{- end }}
