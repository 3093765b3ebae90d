package crash_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma/conformance/crash"
	"github.com/tongma/tongma/schemes"
)

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
	if err := crash.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
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
	ports := crash.FreePorts(t, 3)
	s := &site{data: filepath.Join(dir, "data"), directory: filepath.Join(dir, "sandbox.yaml"), iso: ports[0], http: ports[1], nats: ports[2]}
	if err := os.WriteFile(s.directory, crash.Hasty(schemes.Sandbox()), 0o600); err != nil {
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

// token returns a participant's token, or the operator's.
func (s *site) token(t *testing.T, who string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.data, "creds", who+".token"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// serve starts a switch on the site, and does not wait for it.
func (s *site) serve(t *testing.T, more ...string) *crash.Process {
	t.Helper()
	args := append([]string{"serve", "--data", s.data, "--directory", s.directory, "--sandbox", "--log-level", "error",
		"--iso8583-listen", s.iso, "--http-listen", s.http, "--nats-listen", s.nats}, more...)
	return crash.Start(t, args...)
}

// ready waits until the switch may be sent payments. It fails if the process ends.
func (s *site) ready(t *testing.T, p *crash.Process) {
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
		case <-p.Ended:
			t.Fatalf("the switch does not start (exit %d):\n%s", p.Cmd.ProcessState.ExitCode(), p.Stderr.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("the switch is not ready after 30 s:\n%s", p.Stderr.String())
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
