//go:build !unix

package bus

import (
	"os"
	"path/filepath"
)

// lockDir locks nothing where there is no flock: the operator sees to it that a
// directory has one process.
func lockDir(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
}
