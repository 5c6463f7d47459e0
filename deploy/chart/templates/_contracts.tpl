{{/* Services of the gRPC port, by contract; a test holds the list against the server's. */}}
{{- define "attendant.contracts" -}}
-
  - attendant.v1.Encoding
  - attendant.v1.Explain
  - attendant.v1.Generation
  - attendant.v1.Models
  - attendant.v1.Speech
  - attendant.v1.Tokenizer
-
  - inference.GRPCInferenceService
-
  - tei.v1.Embed
  - tei.v1.Info
  - tei.v1.Predict
  - tei.v1.Rerank
  - tei.v1.Tokenize
-
  - grpc.health.v1.Health
  - grpc.reflection.v1.ServerReflection
  - grpc.reflection.v1alpha.ServerReflection
{{- end -}}
