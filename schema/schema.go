// Package schema holds the machine-readable shapes of what travels over NATS and
// HTTP: JSON Schema 2020-12, and AsyncAPI for the subjects. The HTTP paths are in
// the OpenAPI document that a running switch serves.
package schema

import "embed"

// Files are the documents of this folder.
//
//go:embed *.json asyncapi.yaml
var Files embed.FS
