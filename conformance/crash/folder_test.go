package crash_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma/conformance/crash"
)

// TestTwoServesOnOneFolder: the second switch is refused, says who has the folder,
// and leaves nothing behind in it, not even the directory that it was given.
func TestTwoServesOnOneFolder(t *testing.T) {
	dir := t.TempDir()
	s := newSite(t, dir)
	first := s.serve(t)
	s.ready(t, first)
	startWallets(t, s)
	m := newMarket(t, s, 1)
	shut := m.open(4)

	second := newSite(t, dir) // the same folder, other ports
	other := filepath.Join(dir, "other.yaml")
	directory, err := os.ReadFile(s.directory)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, bytes.Replace(directory, []byte("name: North Acquiring"), []byte("name: Usurper"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	p := second.serve(t, "--directory", other)
	code := p.End(t, 20*time.Second)
	said := p.Stderr.String()
	if code == 0 || !strings.Contains(said, s.data) || !strings.Contains(said, fmt.Sprintf("in use by process %d", first.Cmd.Process.Pid)) {
		t.Errorf("the second switch: exit %d, and says:\n%s", code, said)
	}
	t.Logf("exit %d: %s", code, strings.TrimSpace(said))
	if _, err := os.Stat(filepath.Join(s.data, "node.json")); err != nil {
		t.Errorf("the second switch took away where the first one is: %v", err)
	}
	if _, _, code := crash.Run(t, "audit", "--data", s.data); code == 0 {
		t.Error("an audit took the folder from a running switch")
	}
	time.Sleep(300 * time.Millisecond)
	shut(20 * time.Second)
	settleDown(t, s, 10*time.Second)
	v, a, _, _ := wind(t, s, first, m)
	if v.approved == 0 {
		t.Error("nothing was approved on the first switch")
	}
	if a.Directory != 1 {
		t.Errorf("the journal is at directory %d", a.Directory)
	}
	if got, _ := filepath.Glob(filepath.Join(s.data, "directory", "*.yaml")); len(got) != 1 {
		t.Errorf("the switch that was refused has left its directory in the folder: %v", got)
	}
}

// TestBusyPortIsAClearErrorInServe: the error names the address and the flag, and
// nothing listens on afterwards.
func TestBusyPortIsAClearErrorInServe(t *testing.T) {
	for _, door := range []string{"iso8583", "http", "nats"} {
		t.Run(door, func(t *testing.T) {
			s := newSite(t, t.TempDir())
			addr := map[string]string{"iso8583": s.iso, "http": s.http, "nats": s.nats}[door]
			l, err := net.Listen("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			p := s.serve(t)
			code := p.End(t, 30*time.Second)
			if said := p.Stderr.String(); code != 4 || !strings.Contains(said, addr) || !strings.Contains(said, "in use") {
				t.Errorf("exit %d, want 4 and the address %s:\n%s", code, addr, said)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			again := s.serve(t)
			s.ready(t, again)
			if code := again.Terminate(t, 20*time.Second); code != 0 {
				t.Errorf("SIGTERM: exit %d:\n%s", code, again.Stderr.String())
			}
			crash.Audited(t, "--data", s.data)
		})
	}
}

// TestBusyPortsOfTheDemoAreTheNextFreeOnes: a demonstration beside another one
// just runs.
func TestBusyPortsOfTheDemoAreTheNextFreeOnes(t *testing.T) {
	ports := crash.FreePorts(t, 3)
	for _, addr := range ports {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	stdout, stderr, code := crash.Run(t, "demo", "--once", "--payments", "50", "--json", "--iso8583-listen", ports[0], "--http-listen", ports[1], "--nats-listen", ports[2])
	if code != 0 {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
}

// TestJournalOfAKilledSwitchIsDumped: the note of where the switch was, which
// kill -9 leaves behind, does not hide the journal from the commands that read it.
func TestJournalOfAKilledSwitchIsDumped(t *testing.T) {
	s := newSite(t, t.TempDir())
	p := s.serve(t)
	s.ready(t, p)
	running := crash.Dump(t, "--data", s.data)
	p.Kill()
	if killed := crash.Dump(t, "--data", s.data); killed != running || killed == "" {
		t.Errorf("dumped from the running switch:\n%s\nafter the kill:\n%s", running, killed)
	}
}
