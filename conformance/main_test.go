package conformance

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	update     = flag.Bool("update", false, "write the generated part of README.md anew")
	only       = flag.String("case", "", "run only the cases whose id begins so")
	report     = flag.String("report", "", "write the verdicts to this file, as JSON")
	givenPath  = flag.String("binary", "", "test this tongma instead of building one")
	binaryPath = sync.OnceValues(build)
	buildDir   string
)

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if buildDir, err = os.MkdirTemp("", "tongma-conformance-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(buildDir)
	os.Exit(code)
}

// build makes the binary once for all tests.
func build() (string, error) {
	if *givenPath != "" {
		return *givenPath, nil
	}
	path := filepath.Join(buildDir, "tongma")
	out, err := exec.Command("go", "build", "-o", path, "../cmd/tongma").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return path, err
}

// run runs a command to its end and returns what it wrote to stdout.
func run(t *testing.T, args ...string) []byte {
	t.Helper()
	path, err := binaryPath()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("tongma %s: %v\n%s", strings.Join(args, " "), err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// demo starts a market without traffic of its own as a process of its own, on
// free ports, and stops it when the test ends.
func demo(t *testing.T, dir string) {
	t.Helper()
	path, err := binaryPath()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "demo", "--rate", "0", "--window", "24h", "--data", dir,
		"--iso8583-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	ready, read := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			said.WriteString(lines.Text() + "\n")
			if strings.HasPrefix(lines.Text(), "Ctrl-C stops") { // the last of what it says when all are there
				ready <- struct{}{}
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // it may have ended by itself, which Wait tells
		stop := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
		<-read
		err := cmd.Wait()
		stop.Stop()
		if err != nil {
			t.Errorf("the market ended with %v\n%s", err, said.String())
		}
	})
	select {
	case <-ready:
	case <-read:
		t.Fatalf("the market did not start\n%s", said.String())
	case <-time.After(60 * time.Second):
		t.Fatal("the market is not ready within a minute")
	}
}
