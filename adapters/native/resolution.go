package native

import "github.com/tongma/tongma"

// Resolution and Candidate are the root package's, under the names that an author
// of an adapter finds beside the client.
type (
	Resolution = tongma.Resolution
	Candidate  = tongma.Candidate
)

// ParseResolution reads a Resolution from the wire.
func ParseResolution(data []byte) (Resolution, error) { return tongma.ParseResolution(data) }
