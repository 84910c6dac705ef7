{{/* A volume of the certificates that Secrets hold, under the names that the worker is told. */}}
{{- define "shoal.certificates" -}}
{{- $tls := .tls -}}
- name: {{ .name }}
  projected:
    defaultMode: 0440
    sources:
    {{- if $tls.ca.secret }}
      - secret:
          name: {{ $tls.ca.secret }}
          items:
            - key: {{ $tls.ca.key }}
              path: ca.crt
    {{- end }}
    {{- if $tls.client.secret }}
      - secret:
          name: {{ $tls.client.secret }}
          items:
            - key: {{ $tls.client.certificateKey }}
              path: tls.crt
            - key: {{ $tls.client.keyKey }}
              path: tls.key
    {{- end }}
{{- end -}}
