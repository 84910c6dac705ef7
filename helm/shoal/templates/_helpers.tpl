{{- define "shoal.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters: the StatefulSet's controller adds a hash of eleven to its pods' labels. */}}
{{- define "shoal.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "shoal.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "shoal.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "shoal.selectorLabels" -}}
app.kubernetes.io/name: {{ include "shoal.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "shoal.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "shoal.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "shoal.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "shoal.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "shoal.image" -}}
{{- $default := printf "%s%s" .Chart.AppVersion (ternary "-cuda" "" .Values.gpu.enabled) -}}
{{- printf "%s:%s" .Values.image.repository (default $default .Values.image.tag) -}}
{{- end -}}

{{/* A setting's value as the environment has it: no exponents, lists by commas. */}}
{{- define "shoal.settingValue" -}}
{{- if kindIs "string" . -}}{{ . }}
{{- else if kindIs "slice" . -}}{{ join "," . }}
{{- else -}}{{ toJson . }}
{{- end -}}
{{- end -}}

{{/* The ports of the brokers, unless they are given. */}}
{{- define "shoal.kafkaPorts" -}}
{{- $ports := .Values.networkPolicy.kafka.ports -}}
{{- if not $ports -}}
{{- range splitList "," .Values.settings.kafka_bootstrap -}}
{{- $ports = append $ports (regexFind "[0-9]+$" (trim .) | default "9092" | int) -}}
{{- end -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end -}}

{{/* What cannot work together stops the installation, not the worker. */}}
{{- define "shoal.check" -}}
{{- $sasl := .Values.kafka.sasl -}}
{{- $protocol := default "PLAINTEXT" .Values.settings.kafka_security_protocol -}}
{{- if and (hasPrefix "SASL" $protocol) (not $sasl.secret) -}}
{{- fail (printf "kafka.sasl.secret: missing, settings.kafka_security_protocol %q needs it" $protocol) -}}
{{- end -}}
{{- if and $sasl.secret (not (hasPrefix "SASL" $protocol)) -}}
{{- fail (printf "kafka.sasl.secret: has no use with settings.kafka_security_protocol %q" $protocol) -}}
{{- end -}}
{{- if and $sasl.secret (not $sasl.usernameKey) (not .Values.settings.kafka_username) -}}
{{- fail "settings.kafka_username or kafka.sasl.usernameKey: one of both must say who the SASL user is" -}}
{{- end -}}
{{- if and $sasl.usernameKey .Values.settings.kafka_username -}}
{{- fail "settings.kafka_username and kafka.sasl.usernameKey: only one of both can say who the SASL user is" -}}
{{- end -}}
{{- if and (hasPrefix "SASL" $protocol) (not .Values.settings.kafka_sasl_mechanism) -}}
{{- fail (printf "settings.kafka_sasl_mechanism: missing, settings.kafka_security_protocol %q needs it" $protocol) -}}
{{- end -}}
{{- range $name, $tls := .Values.kafka.tls -}}
{{- if and $tls.secret (not (hasSuffix "SSL" $protocol)) -}}
{{- fail (printf "kafka.tls.%s.secret: has no use with settings.kafka_security_protocol %q" $name $protocol) -}}
{{- end -}}
{{- end -}}
{{- end -}}
