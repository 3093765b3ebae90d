package crash_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDiskFull fills the disk under a switch that is being paid: it must stop
// accepting, say so, and end; and everything it said yes to must be in the folder
// when that is brought to a bigger disk.
func TestDiskFull(t *testing.T) {
	s, ballast := smallDisk(t)
	p := s.serve(t)
	s.ready(t, p)
	startedWith := startWallets(t, s)
	m := newMarket(t, s, 1)
	m.pause = 0
	shut := m.open(32)
	time.Sleep(1500 * time.Millisecond)
	fill(t, ballast, 512<<10)
	filled := time.Now()
	code := p.end(t, 60*time.Second)
	said := p.stderr.String()
	t.Logf("ended %v after the disk was nearly full, exit %d", time.Since(filled).Round(time.Millisecond), code)
	if code == 0 || !strings.Contains(said, "journal") {
		t.Errorf("exit %d, and says:\n%s", code, said)
	}

	bigger := newSite(t, t.TempDir())
	bigger.data = copied(t, s.data)
	bigger.iso, bigger.http, bigger.nats = s.iso, s.http, s.nats
	*m.site = *bigger
	before := audited(t, bigger.data)
	p = bigger.serve(t)
	bigger.ready(t, p)
	shut(30 * time.Second)
	settleDown(t, bigger, 30*time.Second)
	m.repeatAll(time.Minute)
	v, a, b := wind(t, bigger, p, m)
	compared := startedWith.compare(t, b)
	t.Logf("%d entries when the disk was full, %d at the end; %d payments, %d seen approved, %d movements compared; lost %d, doubled %d, changed %d",
		before.Entries, a.Entries, v.payments, v.approved, compared, v.lost, v.doubled, v.changed)
}

// smallDisk makes an installation on a disk of 24 MB, and names a file on it that
// may grow.
func smallDisk(t *testing.T) (s *site, ballast string) {
	t.Helper()
	at := t.TempDir()
	err := syscall.Mount("tmpfs", at, "tmpfs", 0, "size=24m,mode=700")
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skip("a small disk cannot be mounted here: it takes root, and the right to mount (CAP_SYS_ADMIN)")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(at, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", at, err)
		}
	})
	return newSite(t, at), filepath.Join(at, "ballast")
}

// fill writes the file until the disk has no more than leave bytes left.
func fill(t *testing.T, name string, leave uint64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 64<<10); ; {
		var st syscall.Statfs_t
		if err := syscall.Statfs(name, &st); err != nil {
			t.Fatal(err)
		}
		if st.Bavail*uint64(st.Bsize) <= leave {
			return
		}
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
