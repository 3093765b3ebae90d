package schemes

import (
	"os"
	"path/filepath"
)

// writeOnce puts a new file in place whole or not at all, mode 0600. A crash
// before the link leaves only a temporary name that nobody reads; a crash after
// it leaves the whole file, since its bytes were on disk before it had the name
// (TestTornTemporaryFileIsIgnored). It links instead of renaming: a rename would
// silently replace the version that another process added a moment ago, a link
// fails.
func writeOnce(dir, name string, content []byte) error {
	temp, err := os.CreateTemp(dir, ".adding-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if err := fill(temp, content); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncDir(dir)
}

// fill writes, syncs and closes f. A failed fsync is never retried: the pages it
// was about may already be gone.
func fill(f *os.File, content []byte) error {
	_, err := f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}
