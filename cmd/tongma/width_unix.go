//go:build unix

package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// widthOf returns how many columns the terminal w has; 0 if it is none, or does not say.
func widthOf(w io.Writer) int {
	file, ok := w.(*os.File)
	if !ok || !terminal(file) {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
