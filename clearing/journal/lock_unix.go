//go:build unix

package journal

import (
	"fmt"
	"os"
	"syscall"
)

// lockFile takes f for this process, until it is closed.
func lockFile(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("in use by another: %w", err)
	}
	return nil
}
