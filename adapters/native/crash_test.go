package native_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
)

// till is a wallet that is not idempotent by itself: each call of Refund gives money
// back, and its file has a line for each.
type till struct {
	native.Unimplemented
	file string
	dies string // "before" or "after" it has given the money back; else it lives
}

func (w till) Refund(_ context.Context, r tongma.Request) (tongma.Answer, error) {
	if w.dies == "before" {
		die()
	}
	f, err := os.OpenFile(w.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return tongma.Answer{}, err
	}
	defer f.Close() //nolint:errcheck // synced
	if _, err := f.WriteString(r.Payment.String() + "\n"); err != nil {
		return tongma.Answer{}, err
	}
	if w.dies == "after" {
		die()
	}
	return tongma.Answer{Outcome: tongma.Approved}, f.Sync()
}

func die() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} }

func (w till) Inquire(_ context.Context, r tongma.Request) (tongma.Answer, error) {
	given, _ := os.ReadFile(w.file)
	if !bytes.Contains(given, []byte(r.Original.String())) {
		return tongma.Answer{Reason: tongma.UnknownToScheme}, nil
	}
	return tongma.Answer{Outcome: tongma.Approved, Amount: r.Amount}, nil
}

// TestProcessOfAnAdapter is the adapter that the test below runs and kills.
func TestProcessOfAnAdapter(t *testing.T) {
	url, dir := os.Getenv("NATIVE_TEST_URL"), os.Getenv("NATIVE_TEST_DIR")
	if url == "" {
		return // nobody has started it as a process
	}
	nc, err := nats.Connect(url, native.ConnectOptions("wallet", "")...)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	w := till{file: filepath.Join(dir, "given"), dies: os.Getenv("NATIVE_TEST_DIES")}
	serve(t, nc, native.ServiceConfig{}, native.DedupeWith(w, openStore(t, filepath.Join(dir, "seen")), native.DedupeOptions{Settle: 200 * time.Millisecond}))
	select {
	case <-time.After(20 * time.Second):
	case <-parentGone():
	}
}

// parentGone is closed when the test that runs this process has ended.
func parentGone() <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		close(gone)
	}()
	return gone
}

// adapterProcess runs an adapter, and returns what waits for its end.
func adapterProcess(t *testing.T, url, dir, dies string) (ended func()) {
	t.Helper()
	p := exec.Command(os.Args[0], "-test.run=^TestProcessOfAnAdapter$", "-test.timeout=30s")
	p.Env = append(os.Environ(), "NATIVE_TEST_URL="+url, "NATIVE_TEST_DIR="+dir, "NATIVE_TEST_DIES="+dies)
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = p.Wait() })
	return func() { _ = p.Wait() }
}

// A refund whose adapter dies in the middle is given back once, whether or not the
// wallet had heard of it: the switch asks again under the same id until it is answered.
func TestARefundThatACrashKeptFromItsWalletIsDoneOnce(t *testing.T) {
	for _, moment := range []string{"before", "after"} {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			s, dir := startServer(t, ""), t.TempDir()
			asks := adapterFor(t, dial(t, s), native.AdapterOptions{})
			dead := adapterProcess(t, s.ClientURL(), dir, moment)
			r := tongma.Request{Op: tongma.OpRefund, Payment: payment(2), Original: payment(1), Amount: yuan(700)}
			ask := func() (tongma.Answer, error) {
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				return asks.Refund(ctx, r)
			}
			a, err := ask()
			for tongma.ReasonOf(err) == tongma.AdapterDown { // it is not there yet
				time.Sleep(20 * time.Millisecond)
				a, err = ask()
			}
			if err == nil && a.Outcome != tongma.Unknown {
				t.Fatalf("%v, %v: from a process that died", a.Outcome, err)
			}
			dead()
			adapterProcess(t, s.ClientURL(), dir, "")
			waited := false
			for end := time.Now().Add(15 * time.Second); a.Outcome != tongma.Approved && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
				if a, err = ask(); a.Outcome == tongma.Declined {
					t.Fatalf("%+v, %v", a, err)
				}
				waited = waited || a.Reason == tongma.UnknownToScheme
			}
			given, _ := os.ReadFile(filepath.Join(dir, "given"))
			if n := strings.Count(string(given), "\n"); a.Outcome != tongma.Approved || n != 1 || waited != (moment == "before") {
				t.Errorf("%+v, %v; given back %d times; no record before that: %v", a, err, n, waited)
			}
		})
	}
}
