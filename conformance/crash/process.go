package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the command under test, built once for all tests of a package.
var binary string

// Build builds the command under test in dir. Call it before Start, once.
func Build(dir string) error {
	binary = filepath.Join(dir, "tongma")
	build := exec.Command("go", "build", "-o", binary, "github.com/tongma/tongma/cmd/tongma")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// Process is one life of the binary.
type Process struct {
	Cmd    *exec.Cmd
	Stdout Buffer
	Stderr Buffer
	Ended  chan struct{} // closed when it has ended and was waited for
}

// Buffer keeps what a process says, begun anew when there is more than limit, if
// that is not zero.
type Buffer struct {
	limit int
	mu    sync.Mutex
	b     bytes.Buffer
}

// Write keeps p.
func (l *Buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit > 0 && l.b.Len() > l.limit {
		l.b.Reset()
	}
	return l.b.Write(p)
}

// String returns what is kept.
func (l *Buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Start runs the binary. The test kills it at its end at the latest.
func Start(t testing.TB, args ...string) *Process {
	t.Helper()
	p := &Process{Cmd: exec.Command(binary, args...), Ended: make(chan struct{})}
	p.Stderr.limit = 1 << 20
	p.Cmd.Stdout, p.Cmd.Stderr = &p.Stdout, &p.Stderr
	p.Cmd.Env = quietEnvironment()
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.Cmd.Wait() // its end is read from ProcessState
		close(p.Ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		if said := p.Stderr.String(); t.Failed() && said != "" {
			t.Logf("%s said, at the end:\n%s", args[0], said[max(0, len(said)-4000):])
		}
	})
	return p
}

// quietEnvironment is ours without what would configure the binary.
func quietEnvironment() (env []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TONGMA_") {
			env = append(env, v)
		}
	}
	return env
}

// Kill is kill -9, of this process only, and waits for its end.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill() // it may have ended
	<-p.Ended
}

// End waits for the process to end by itself and returns its exit code.
func (p *Process) End(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-p.Ended:
	case <-time.After(within):
		_ = p.Cmd.Process.Signal(syscall.SIGQUIT) // Go programs show what they wait for
		<-p.Ended
		t.Fatalf("still running after %v:\n%s", within, p.Stderr.String())
	}
	return p.Cmd.ProcessState.ExitCode()
}

// Terminate is SIGTERM, and returns the exit code.
func (p *Process) Terminate(t testing.TB, within time.Duration) int {
	t.Helper()
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("SIGTERM: %v:\n%s", err, p.Stderr.String())
	}
	return p.End(t, within)
}

// Run runs a command to its end.
func Run(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	p := Start(t, args...)
	code = p.End(t, 3*time.Minute)
	return p.Stdout.String(), p.Stderr.String(), code
}

// FreePorts returns loopback addresses that nobody listens on at this moment.
func FreePorts(t testing.TB, n int) (addresses []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}

// Audited runs the audit of a journal and fails unless it is ok. where is "--data"
// and a stopped switch's folder, and for one in a cluster "--nats" and its servers.
func Audited(t testing.TB, where ...string) Audit {
	t.Helper()
	stdout, stderr, code := Run(t, append([]string{"audit", "--json"}, where...)...)
	var a Audit
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatalf("audit, exit %d: %v\n%s%s", code, err, stdout, stderr)
	}
	if code != 0 || !a.OK {
		t.Fatalf("audit: exit %d\n%s%s", code, stdout, stderr)
	}
	return a
}

// Audit is what the tests read of the audit's report.
type Audit struct {
	OK       bool   `json:"ok"`
	Entries  uint64 `json:"entries"`
	Batches  uint64 `json:"batches"`
	Ignored  uint64 `json:"ignored_batches"`
	Open     int64  `json:"open_holds"`
	Payments struct {
		Held, Pending, Posted, Refused, Voided, Reversing, Reversed, Tombstones int64
	} `json:"payments"`
	Directory uint64 `json:"directory"`
	Positions []struct {
		Participant string `json:"participant"`
		Currency    string `json:"currency"`
		Position    int64  `json:"position_minor"`
		Reserved    int64  `json:"reserved_minor"`
	} `json:"positions"`
	Windows []struct {
		Window uint64 `json:"window"`
		State  string `json:"state"`
	} `json:"windows"`
}

// Environment returns a number from the environment.
func Environment(name string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// Hasty shortens every scheme's times in a directory, to what suits a test.
func Hasty(directory []byte) []byte {
	var out []string
	for _, line := range strings.Split(string(directory), "\n") {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "authorise_timeout", "inquire_every", "reverse_every", "confirm_within":
			continue
		}
		out = append(out, line)
		if name == "participant" && strings.HasPrefix(line, "    ") {
			out = append(out, "    authorise_timeout: 400ms", "    inquire_every: 150ms", "    reverse_every: 150ms", "    confirm_within: 5s")
		}
	}
	return []byte(strings.Join(out, "\n"))
}
