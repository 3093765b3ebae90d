package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/switch/bus"
)

// ask returns the status and the body that a door answers with.
func ask(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	return res.StatusCode, string(body)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// second makes the configuration of a switch that stands by over the NATS of first.
func second(t *testing.T, first *node) nodeConfig {
	t.Helper()
	data := t.TempDir()
	if _, err := copyCredentials(filepath.Join(first.cfg.data, "creds"), filepath.Join(data, "creds")); err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	return nodeConfig{data: data, httpListen: "127.0.0.1:0", standby: true, sandbox: true, logger: quiet,
		external: external(&config{NATS: first.natsURL, Data: data}, quiet)}
}

// TestAStandbyTakesOverWithTheWritersDirectory: it has none of its own, gets the
// writer's, says meanwhile that it stands by, and is in office when the writer has
// left; the writer's folder is its own, and its books go on.
func TestAStandbyTakesOverWithTheWritersDirectory(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first, err := newNode(ctx, nodeConfig{data: t.TempDir(), natsListen: "127.0.0.1:0", httpListen: "127.0.0.1:0", admit: true,
		directory: schemes.Sandbox(), sandbox: true, logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	cfg := second(t, first)
	n, err := newGround(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	taken := make(chan error, 1)
	go func() { taken <- n.takeOffice(ctx) }()
	eventually(t, "standing by", func() bool {
		status, said := ask(t, "http://"+n.httpAddr+"/readyz?verbose")
		return status == http.StatusServiceUnavailable && strings.Contains(said, "epoch 1") && strings.HasSuffix(said, "standby\n")
	})
	if status, _ := ask(t, "http://"+n.httpAddr+"/livez"); status != http.StatusOK {
		t.Errorf("a standby is alive: %d", status)
	}
	if status, said := ask(t, "http://"+n.httpAddr+"/v1/windows"); status != http.StatusServiceUnavailable || !strings.Contains(said, tongma.SteppedDown.String()) {
		t.Errorf("%d %s", status, said)
	}
	want := first.registry.Current().Hash()
	first.leaveOffice() // its NATS stays
	if err := <-taken; err != nil {
		t.Fatal(err)
	}
	if status, said := ask(t, "http://"+n.httpAddr+"/readyz"); status != http.StatusOK {
		t.Errorf("in office: %d %s", status, said)
	}
	if n.registry.Current().Hash() != want || n.engine.Ledger().Epoch() != 2 {
		t.Errorf("directory %x, epoch %d", n.registry.Current().Hash(), n.engine.Ledger().Epoch())
	}
	n.leaveOffice()
	if status, said := ask(t, "http://"+n.httpAddr+"/readyz"); status != http.StatusServiceUnavailable || said != "starting\n" {
		t.Errorf("out of office: %d %s", status, said)
	}
}

// TestAStandbyThatIsNotFitDoesNotLead: with another secret for payers' codes, or
// another directory under the journal's number, the same code would be another one,
// or the same payment go another way.
func TestAStandbyThatIsNotFitDoesNotLead(t *testing.T) {
	for _, test := range []struct {
		name, says string
		spoil      func(cfg *nodeConfig) error
	}{
		{"another secret", "code-digest.key", func(cfg *nodeConfig) error {
			registry, err := schemes.OpenRegistry(filepath.Join(cfg.data, "directory"))
			if err == nil {
				_, err = registry.Add(schemes.Sandbox())
			}
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(cfg.data, "creds", "code-digest.key"), []byte(strings.Repeat("ab", 32)), 0o600)
		}},
		{"another directory", "is not the one that the journal goes by", func(cfg *nodeConfig) error {
			registry, err := schemes.OpenRegistry(filepath.Join(cfg.data, "directory"))
			if err == nil {
				_, err = registry.Add(append(schemes.Sandbox(), "# another\n"...))
			}
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			first, err := newNode(ctx, nodeConfig{data: t.TempDir(), natsListen: "127.0.0.1:0", admit: true, directory: schemes.Sandbox(), sandbox: true, logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer first.Close()
			cfg := second(t, first)
			if err := test.spoil(&cfg); err != nil {
				t.Fatal(err)
			}
			n, err := newGround(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			taken := make(chan error, 1)
			go func() { defer close(taken); taken <- n.takeOffice(ctx) }()
			eventually(t, "unfit", func() bool {
				_, said := ask(t, "http://"+n.httpAddr+"/readyz?verbose")
				return strings.HasSuffix(said, "unfit\n") && strings.Contains(said, test.says)
			})
			first.leaveOffice()
			select {
			case err := <-taken:
				t.Errorf("took over: %v", err)
			case <-time.After(2 * time.Second):
			}
			cancel()
			for range taken { // before it is closed
			}
		})
	}
}

// TestOfSeveralAddressesTheOneInOfficeIsAsked, and the first if none is.
func TestOfSeveralAddressesTheOneInOfficeIsAsked(t *testing.T) {
	answers := func(status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	standby, leader := answers(http.StatusServiceUnavailable), answers(http.StatusOK)
	for list, want := range map[string]string{standby + "," + leader: leader, leader + ", " + standby: leader, standby: standby, standby + ",http://127.0.0.1:1": standby} {
		if got, err := firstReady(list, false); err != nil || got.String() != want {
			t.Errorf("%s: %v %v, want %s", list, got, err, want)
		}
	}
	if _, err := firstReady(standby+",nowhere", false); err == nil {
		t.Error("an address that is none is taken")
	}
}

// TestSettingsOfAClusterGoTogether: what makes no sense is said before anything is
// started.
func TestSettingsOfAClusterGoTogether(t *testing.T) {
	for _, c := range []config{
		{Standby: true}, {Replicas: 3}, {AllowUnseen: true}, {NATS: "nats://n", AdmitStandby: true},
	} {
		if len(c.together()) != 1 {
			t.Errorf("%+v: %v", c, c.together())
		}
	}
	good := config{NATS: "nats://n", Standby: true, Replicas: 3, AllowUnseen: true}
	if faults := good.together(); len(faults) != 0 {
		t.Error(faults)
	}
	if e := external(&config{NATS: "nats://n", NATSJournal: "x.creds", NATSSwitch: "y.nk"}, nil); e.Journal != (bus.Credentials{File: "x.creds"}) || e.Switch != (bus.Credentials{Seed: "y.nk"}) {
		t.Errorf("%+v", e)
	}
}
