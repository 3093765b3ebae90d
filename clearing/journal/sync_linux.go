package journal

import (
	"os"
	"syscall"
)

// datasync makes the contents and the length of f durable.
func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
