//go:build !linux

package journal

import "os"

// datasync makes the contents and the length of f durable.
func datasync(f *os.File) error { return f.Sync() }
