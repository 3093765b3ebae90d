package crash_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tongma/tongma/conformance/crash"
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
	code := p.End(t, 60*time.Second)
	said := p.Stderr.String()
	t.Logf("ended %v after the disk was nearly full, exit %d", time.Since(filled).Round(time.Millisecond), code)
	if code == 0 || !strings.Contains(said, "journal") {
		t.Errorf("exit %d, and says:\n%s", code, said)
	}

	bigger := newSite(t, t.TempDir())
	bigger.data = copied(t, s.data)
	bigger.iso, bigger.http, bigger.nats = s.iso, s.http, s.nats
	before := crash.Audited(t, "--data", bigger.data)
	p = bigger.serve(t)
	bigger.ready(t, p)
	shut(30 * time.Second)
	settleDown(t, bigger, 30*time.Second)
	m.repeatAll(time.Minute)
	v, a, b, _ := wind(t, bigger, p, m)
	compared := startedWith.compare(t, b)
	t.Logf("%d entries when the disk was full, %d at the end; %d payments, %d seen approved, %d movements compared; lost %d, doubled %d, changed %d",
		before.Entries, a.Entries, v.payments, v.approved, compared, v.lost, v.doubled, v.changed)
}

// smallDisk makes an installation on a disk of its own, a sparse image of 4 GB
// (the event streams reserve 2 GB of it, so that a smaller one is refused), and
// names a file on it that may grow.
func smallDisk(t *testing.T) (s *site, ballast string) {
	t.Helper()
	at, image := t.TempDir(), filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 4<<30); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-F", "-m", "0", image}, {"mount", "-o", "loop", image, at}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no small disk can be made here, which takes root, mkfs.ext4 and a loop device: %s: %v: %s", command[0], err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", at).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v: %s", at, err, out)
		}
	})
	return newSite(t, at), filepath.Join(at, "ballast")
}

// copied copies a stopped switch's folder to another disk, as an operator would.
func copied(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp -a: %v: %s", err, out)
	}
	return to
}

// fill takes up the disk but for leave bytes.
func fill(t *testing.T, name string, leave int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var st syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Bsize-leave); err != nil {
		t.Fatalf("ballast: %v", err)
	}
}
