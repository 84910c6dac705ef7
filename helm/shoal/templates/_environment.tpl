{{/* The environment of the worker: what the chart decides, what Secrets hold, and the settings. */}}
{{- define "shoal.environment" -}}
- name: SHOAL_WORKER_ORDINAL
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['apps.kubernetes.io/pod-index']
- name: SHOAL_WORKER_COUNT
  value: {{ .Values.workers | quote }}
{{- if .Values.standby.enabled }}
- name: SHOAL_STANDBY
  value: "true"
{{- end }}
- name: SHOAL_DATA_DIR
  value: /data
- name: SHOAL_HTTP_HOST
  value: 0.0.0.0
- name: SHOAL_HTTP_PORT
  value: "9108"
- name: SHOAL_REDIS_URL
{{- if .Values.redis.secret }}
  valueFrom:
    secretKeyRef:
      name: {{ .Values.redis.secret }}
      key: {{ .Values.redis.urlKey }}
{{- else }}
  value: {{ .Values.redis.url | quote }}
{{- end }}
{{- with .Values.kafka.sasl }}
{{- if .secret }}
- name: SHOAL_KAFKA_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .passwordKey }}
{{- if .usernameKey }}
- name: SHOAL_KAFKA_USERNAME
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .usernameKey }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.kafka.tls }}
{{- if .ca.secret }}
- name: SHOAL_KAFKA_CA_FILE
  value: /etc/shoal/kafka/ca.crt
{{- end }}
{{- if .client.secret }}
- name: SHOAL_KAFKA_CERTIFICATE_FILE
  value: /etc/shoal/kafka/tls.crt
- name: SHOAL_KAFKA_KEY_FILE
  value: /etc/shoal/kafka/tls.key
{{- end }}
{{- end }}
{{- $limits := .Values.resources.limits | default dict }}
{{- if and (hasKey $limits "cpu") (not (hasKey .Values.settings "threads")) }}
- name: SHOAL_THREADS
  valueFrom:
    resourceFieldRef:
      resource: limits.cpu
{{- end }}
{{- range $name, $value := .Values.settings }}
{{- if not (kindIs "invalid" $value) }}
- name: SHOAL_{{ upper $name }}
  value: {{ include "shoal.settingValue" $value | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
