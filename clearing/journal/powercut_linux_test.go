package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A power cut: the journal's server is a process of its own on a disk of its own,
// a loop-mounted image. It is stopped at a random moment, the image is copied, and
// it goes on. The copy has what had reached the disk, and nothing of what was only
// in the kernel's memory: what a machine finds when its power comes back. Unlike
// after kill -9, an acknowledgement that came before the sync is found out.

// Where a child finds its folder, its setting, and where it says how far it came.
const (
	cutDir   = "JOURNAL_CUT_DIR"
	cutSync  = "JOURNAL_CUT_SYNC"
	cutAcked = "JOURNAL_CUT_ACKED"
)

// serveOn starts a server as serve does; without sync it syncs when it pleases,
// which is every two minutes.
func serveOn(t *testing.T, dir string, sync bool) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir,
		SyncAlways: sync, MaxPayload: 1 << 20, NoSystemAccount: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("server does not start")
	}
	t.Cleanup(func() { stopServer(s) })
	return s
}

// commitUntilCut is the child: it commits small batches of numbers, and writes
// the last one acknowledged to a file on the machine's own disk, where the parent
// sees it at once. When no more can be committed it says so, and waits.
func commitUntilCut(t *testing.T, dir string) {
	acked, err := os.OpenFile(os.Getenv(cutAcked), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), openJetStream(t, connect(t, serveOn(t, dir, os.Getenv(cutSync) == "always"))), 0, ignore)
	if err == nil {
		err = l.TakeOver(t.Context(), 1)
	}
	for err == nil {
		var entries [][]byte
		for next := l.Next(); len(entries) < 1+rand.IntN(20); next++ {
			entries = append(entries, []byte(strconv.FormatUint(next, 10)))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		if err = l.Commit(ctx, entries, 1, 1); err == nil {
			_, err = acked.WriteAt(binary.BigEndian.AppendUint64(nil, l.Next()-1), 0)
		}
		cancel()
	}
	fmt.Println("stopped:", err)
	io.Copy(io.Discard, os.Stdin)
}

// rig is a child on a disk of its own.
type rig struct {
	image, at string
	acked     *os.File
	child     *exec.Cmd
}

func startRig(t *testing.T, sync string) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{image: filepath.Join(dir, "disk"), at: filepath.Join(dir, "at")}
	if err := errors.Join(os.WriteFile(r.image, nil, 0o600), os.Truncate(r.image, 96<<20), os.Mkdir(r.at, 0o700)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", r.image).CombinedOutput(); err != nil {
		t.Skipf("no disk can be made here, which takes mkfs.ext4: %v: %s", err, out)
	}
	if err := mountImage(t, r.image, r.at); err != nil {
		t.Skipf("no disk can be mounted here, which takes root and a loop device: %v", err)
	}
	var err error
	if r.acked, err = os.Create(filepath.Join(dir, "acked")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.acked.Close() })
	r.child = exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	r.child.Env = append(os.Environ(), cutDir+"="+filepath.Join(r.at, "store"), cutSync+"="+sync, cutAcked+"="+r.acked.Name())
	var said bytes.Buffer
	r.child.Stdout = &said
	if _, err = r.child.StdinPipe(); err == nil {
		err = r.child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.end()
		if t.Failed() {
			t.Logf("the child says %s", &said)
		}
	})
	for deadline := time.Now().Add(20 * time.Second); r.count(t) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the child acknowledged nothing")
		}
	}
	return r
}

// end ends the child, as often as it is called.
func (r *rig) end() {
	r.child.Process.Kill()
	r.child.Wait()
}

// mountImage mounts an image until the test ends.
func mountImage(t *testing.T, image, at string) error {
	// The file system writes nothing by itself while the test lasts.
	if out, err := exec.Command("mount", "-o", "loop,commit=300", image, at).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", at).Run() })
	return nil
}

// count returns the last number that the child saw acknowledged.
func (r *rig) count(t *testing.T) uint64 {
	var number [8]byte
	if _, err := r.acked.ReadAt(number[:], 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint64(number[:])
}

// cut copies the disk as it stands while the child is stopped, mounts the copy,
// and returns where, and how much had been acknowledged.
func (r *rig) cut(t *testing.T) (at string, acked uint64) {
	t.Helper()
	if err := r.child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r.waitStopped(t)
	acked = r.count(t)
	copied := filepath.Join(t.TempDir(), "copy")
	for tries := 0; ; tries++ {
		before := r.written(t)
		if out, err := exec.Command("cp", "--sparse=always", r.image, copied).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v: %s", err, out)
		}
		if r.written(t) == before {
			break // nothing moved under the copy
		}
		if tries == 10 {
			t.Fatal("the disk is written to while its only user is stopped")
		}
	}
	if err := r.child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	at = t.TempDir()
	if err := mountImage(t, copied, at); err != nil {
		t.Fatalf("the copy does not mount: %v", err)
	}
	return filepath.Join(at, "store"), acked
}

// waitStopped waits until every thread of the child has stopped; one that is in
// an fsync ends it first.
func (r *rig) waitStopped(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(200 * time.Microsecond) {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", r.child.Process.Pid))
		still := len(threads) > 0
		for _, thread := range threads {
			stat, _ := os.ReadFile(thread)
			_, state, _ := strings.Cut(string(stat), ") ")
			still = still && strings.HasPrefix(state, "T")
		}
		if still {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the child does not stop")
		}
	}
}

// written returns how many requests to write the disk has had.
func (r *rig) written(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[1] == r.at {
			stat, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(f[0]), "stat"))
			if err != nil {
				t.Fatal(err)
			}
			return strings.Fields(string(stat))[4]
		}
	}
	t.Fatalf("%s is not mounted", r.at)
	return ""
}

// found opens the journal that a power cut left in dir, checks all of it, and
// returns how many numbers are there; all from 1 on, or the test fails.
func found(t *testing.T, dir string, choices ...Option) (uint64, error) {
	t.Helper()
	s := serveOn(t, dir, true)
	nc := connect(t, s)
	defer stopServer(s)
	defer nc.Close()
	k := &book{}
	l, err := Open(t.Context(), openJetStream(t, nc), 0, k.replay, choices...)
	if err == nil {
		err = errors.Join(l.TakeOver(t.Context(), 1), l.Close()) // the next writer goes on
	}
	for i, e := range k.entries {
		if e != strconv.Itoa(i+1) {
			t.Fatalf("entry %d is %q", i+1, e)
		}
	}
	return uint64(len(k.entries)), err
}

// cuts is how often the power fails: CUTS, or a dozen.
func cuts(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("CUTS"))
	if os.Getenv("CUTS") == "" {
		return 12
	}
	if err != nil || n < 1 {
		t.Fatalf("CUTS=%q: want a whole number", os.Getenv("CUTS"))
	}
	return n
}

func TestPowerCutLosesNothingAcknowledged(t *testing.T) {
	if dir := os.Getenv(cutDir); dir != "" {
		commitUntilCut(t, dir)
		return
	}
	t.Parallel()
	var r *rig
	last, cut := uint64(0), 0
	for i := range cuts(t) {
		if i%50 == 0 { // a fresh disk before the old one is full
			if r != nil {
				r.end()
			}
			r, last = startRig(t, "always"), 0
		}
		t.Run(strconv.Itoa(i+1), func(t *testing.T) {
			time.Sleep(time.Duration(rand.IntN(60_000)) * time.Microsecond)
			dir, acked := r.cut(t)
			there, err := found(t, dir)
			if err != nil || there < acked || acked < last {
				t.Fatalf("%d acknowledged, %d there: %v", acked, there, err)
			}
			last = acked
			cut++
		})
	}
	t.Logf("%d cuts, %d acknowledged before the last", cut, last)
}

// The test above can fail: a server with the setting that NATS comes with has
// acknowledged what the cut takes away. And a checkpoint that is kept on another
// disk finds it out.
func TestPowerCutIsFeltWithoutSync(t *testing.T) {
	if dir := os.Getenv(cutDir); dir != "" {
		commitUntilCut(t, dir)
		return
	}
	t.Parallel()
	r := startRig(t, "default")
	for range 3 {
		time.Sleep(50 * time.Millisecond)
		dir, acked := r.cut(t)
		elsewhere := filepath.Join(t.TempDir(), "checkpoint")
		if err := WriteCheckpoint(elsewhere, Position{Sequence: acked, Epoch: 1, Number: acked, Next: acked + 1}); err != nil {
			t.Fatal(err)
		}
		there, err := found(t, dir, WithCheckpoint(elsewhere, time.Hour))
		var broken *ChainError
		if there < acked && errors.As(err, &broken) {
			t.Logf("%d acknowledged, %d there: %v", acked, there, err)
			return
		}
	}
	t.Fatal("three power cuts took nothing from a server that does not sync: the cuts cut nothing")
}

// The disk fills up under the writer, it stops, and then the power fails.
func TestPowerCutOnAFullDiskLosesNothingAcknowledged(t *testing.T) {
	if dir := os.Getenv(cutDir); dir != "" {
		commitUntilCut(t, dir)
		return
	}
	t.Parallel()
	r := startRig(t, "always")
	ballast, err := os.Create(filepath.Join(r.at, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer ballast.Close()
	var free syscall.Statfs_t
	if err := syscall.Fstatfs(int(ballast.Fd()), &free); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Fallocate(int(ballast.Fd()), 0, 0, int64(free.Bavail)*free.Bsize-64<<10); err != nil {
		t.Fatal(err)
	}
	for deadline, before := time.Now().Add(20*time.Second), uint64(0); ; time.Sleep(500 * time.Millisecond) {
		now := r.count(t)
		if now == before {
			break // nothing has been acknowledged for half a second
		}
		if before = now; time.Now().After(deadline) {
			t.Fatal("the writer goes on with a full disk")
		}
	}
	dir, acked := r.cut(t)
	if err := os.Remove(filepath.Join(filepath.Dir(dir), "ballast")); err != nil { // the operator makes room
		t.Fatal(err)
	}
	if there, err := found(t, dir); err != nil || there < acked {
		t.Fatalf("%d acknowledged, %d there: %v", acked, there, err)
	}
	t.Logf("%d acknowledged when the disk was full", acked)
}
