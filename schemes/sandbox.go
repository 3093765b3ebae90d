package schemes

import (
	"bytes"
	_ "embed"
)

//go:embed sandbox.yaml
var sandbox []byte

// Sandbox returns the source of the directory that the demonstration runs with:
// two acquirers and six wallets' networks, in eight currencies of none, two and
// three decimals, with fees on one scheme, a settlement agent, two settlement models
// beside the default one, and a dealer.
func Sandbox() []byte { return bytes.Clone(sandbox) }
