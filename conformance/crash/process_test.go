package crash_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tongma/tongma/schemes"
)

// binary is the command under test, built once for all tests of the package.
var binary string

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tongma-crash-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "tongma")
	build := exec.Command("go", "build", "-o", binary, "github.com/tongma/tongma/cmd/tongma")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// site is one installation: a data folder, its directory and its ports, which
// stay the same over all the lives of the switch.
type site struct {
	data, directory string
	iso, http, nats string
}

// newSite makes an installation in dir, whose directory is the sandbox's with
// times that suit a test.
func newSite(t *testing.T, dir string) *site {
	t.Helper()
	ports := freePorts(t, 3)
	s := &site{data: filepath.Join(dir, "data"), directory: filepath.Join(dir, "sandbox.yaml"), iso: ports[0], http: ports[1], nats: ports[2]}
	if err := os.WriteFile(s.directory, hasty(schemes.Sandbox()), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// keptDir is a temporary folder, or a new one below TONGMA_KEEP that stays, to be
// looked into afterwards.
func keptDir(t *testing.T) string {
	t.Helper()
	root := os.Getenv("TONGMA_KEEP")
	if root == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(root, "crash-")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("everything is kept in %s", dir)
	return dir
}

// hasty shortens every scheme's times.
func hasty(directory []byte) []byte {
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

// freePorts returns loopback addresses that nobody listens on at this moment.
func freePorts(t *testing.T, n int) (addresses []string) {
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

// token returns a participant's token, or the operator's.
func (s *site) token(t *testing.T, who string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.data, "creds", who+".token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// process is one life of the binary.
type process struct {
	cmd    *exec.Cmd
	stdout lockedBuffer
	stderr lockedBuffer
	ended  chan struct{} // closed when it has ended and was waited for
}

// lockedBuffer keeps what a process says, begun anew when there is more than
// limit, if that is not zero.
type lockedBuffer struct {
	limit int
	mu    sync.Mutex
	b     bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit > 0 && l.b.Len() > l.limit {
		l.b.Reset()
	}
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs the binary. The test kills it at its end at the latest.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	p.stderr.limit = 1 << 20
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.Env = quietEnvironment()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its end is read from ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if said := p.stderr.String(); t.Failed() && said != "" {
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

// kill is kill -9, of this process only, and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// end waits for the process to end by itself and returns its exit code.
func (p *process) end(t *testing.T, within time.Duration) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(within):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // Go programs show what they wait for
		<-p.ended
		t.Fatalf("still running after %v:\n%s", within, p.stderr.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// terminate is SIGTERM, and returns the exit code.
func (p *process) terminate(t *testing.T, within time.Duration) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("SIGTERM: %v:\n%s", err, p.stderr.String())
	}
	return p.end(t, within)
}

// run runs a command to its end.
func run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	p := start(t, args...)
	code = p.end(t, 3*time.Minute)
	return p.stdout.String(), p.stderr.String(), code
}

// serve starts a switch on the site, and does not wait for it.
func (s *site) serve(t *testing.T, more ...string) *process {
	t.Helper()
	args := append([]string{"serve", "--data", s.data, "--directory", s.directory, "--sandbox", "--log-level", "error",
		"--iso8583-listen", s.iso, "--http-listen", s.http, "--nats-listen", s.nats}, more...)
	return start(t, args...)
}

// ready waits until the switch may be sent payments. It fails if the process ends.
func (s *site) ready(t *testing.T, p *process) {
	t.Helper()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		res, err := client.Get("http://" + s.http + "/readyz")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-p.ended:
			t.Fatalf("the switch does not start (exit %d):\n%s", p.cmd.ProcessState.ExitCode(), p.stderr.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("the switch is not ready after 30 s:\n%s", p.stderr.String())
		}
	}
}

var errStatus = errors.New("http")

// ask sends one request over HTTP and returns the body of a 2xx answer.
func (s *site) ask(ctx context.Context, method, path, token, key string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.http+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := httpClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err == nil && res.StatusCode >= 300 {
		err = &statusError{res.StatusCode, got}
	}
	return got, err
}

var httpClient = &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// statusError is an answer that is none of 2xx.
type statusError struct {
	status int
	body   []byte
}

func (e *statusError) Error() string { return "http " + strconv.Itoa(e.status) + ": " + string(e.body) }
func (e *statusError) Unwrap() error { return errStatus }

// audited runs the audit of a stopped switch's folder and fails unless it is ok.
func audited(t *testing.T, data string) audit {
	t.Helper()
	stdout, stderr, code := run(t, "audit", "--data", data, "--json")
	var a audit
	if err := json.Unmarshal([]byte(stdout), &a); err != nil {
		t.Fatalf("audit, exit %d: %v\n%s%s", code, err, stdout, stderr)
	}
	if code != 0 || !a.OK {
		t.Fatalf("audit: exit %d\n%s%s", code, stdout, stderr)
	}
	return a
}

// audit is what the tests read of the audit's report.
type audit struct {
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

func environment(name string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}
