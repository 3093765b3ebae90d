package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/switch/settle"
)

// jade is a dealer that the sandbox does not know.
const jade = `  - id: fx-jade
    name: Jade Exchange
    country: HK
    roles: [service]
    caps: {THB: "30000000.00", HKD: "8000000.00"}
    dealer: {quote_lifetime: 30s, pairs: [{from: HKD, to: THB, decimals: 4}]}
    accounts:
      - {agent: sandbox-agent, currency: THB, account: FX-JADE/764, number: fx-jade}
      - {agent: sandbox-agent, currency: HKD, account: FX-JADE/344, number: fx-jade}
    key: creds
  - id: fx-orchid
`

type jadeDesk struct{}

func (jadeDesk) Quote(_ context.Context, r tongma.Request) (tongma.Answer, error) {
	return tongma.Answer{Outcome: tongma.Approved, Exchange: tongma.Exchange{Quote: "jade-" + r.Payment.String()[4:], Rate: "HKD/THB 9.0000 target",
		Expiry: time.Now().Add(20 * time.Second).UnixMilli()}}, nil
}

// TestADealerThatJoinsIsAskedWithoutARestart: neither the switch nor NATS has heard of it
// before, payments go on, and whoever is connected stays so; nor is it asked any more when
// it has left.
func TestADealerThatJoinsIsAskedWithoutARestart(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	quiet := slog.New(slog.DiscardHandler)
	n, err := newNode(ctx, nodeConfig{data: t.TempDir(), natsListen: "127.0.0.1:0", httpListen: "127.0.0.1:0", directory: schemes.Sandbox(), sandbox: true, logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	sims, err := startSimulators(ctx, n, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer sims.stop()
	till, err := n.dial("acq-north")
	if err != nil {
		t.Fatal(err)
	}
	defer till.Close()
	client, err := native.NewClient(till, "acq-north")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	pays := func(key, code string) tongma.ParticipantID {
		t.Helper()
		r := tongma.Request{Key: key, Code: code, Amount: tongma.Money{Minor: 50000, Currency: tongma.THB}, Merchant: tongma.Merchant{ID: "M1", Country: "TH"}, Budget: 5 * time.Second}
		a, err := client.PayUntilKnown(ctx, r)
		if err != nil || a.Status != tongma.Paid {
			t.Fatalf("%s: %+v, %v", key, a, err)
		}
		return a.Exchange.Dealer
	}
	if by := pays("k1", "77200201000000004265"); by == "fx-jade" {
		t.Errorf("by %s", by)
	}
	if nc, err := n.dial("fx-jade"); err == nil {
		nc.Close()
		t.Error("a stranger is let in")
	}
	with := bytes.Replace(schemes.Sandbox(), []byte("  - id: fx-orchid\n"), []byte(jade), 1)
	if _, err := n.adopt(ctx, bytes.Replace(with, []byte("sandbox-agent, currency: THB, account: FX-JADE"), []byte("nobody, currency: THB, account: FX-JADE"), 1)); exitCodeOf(err) != exitConfig || n.engine.Directory().Version() != 1 {
		t.Errorf("version %d, %v", n.engine.Directory().Version(), err)
	}
	if d, err := n.adopt(ctx, with); err != nil || d.Version() != 2 {
		t.Fatal(err)
	}
	nc, err := n.dial("fx-jade")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	svc, err := native.ServeDealer(ctx, nc, native.ServiceConfig{Scheme: "fx-jade", Log: quiet}, jadeDesk{})
	if err != nil {
		t.Fatal(err)
	}
	defer svc.Stop() //nolint:errcheck // it is let out before
	if by := pays("k2", "77200201000000005235"); by != "fx-jade" {
		t.Errorf("by %s", by)
	}
	if _, err := n.adopt(ctx, schemes.Sandbox()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the one that has left is let out", func() bool { return !nc.IsConnected() })
	if by := pays("k3", "77200201000000006205"); by == "fx-jade" || till.Stats().Reconnects != 0 {
		t.Errorf("by %s; the till was let out %d times", by, till.Stats().Reconnects)
	}
}

// TestAnAgentThatHasAnotherAddressIsAskedThere: from the moment on that the version which
// says so is in force, and nobody is asked at the old one any more. A version that the
// switch does not go by moves no agent.
func TestAnAgentThatHasAnotherAddressIsAskedThere(t *testing.T) {
	t.Parallel()
	var asked [3]atomic.Int64
	var at [3]string
	for i := range asked {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked[i].Add(1); w.WriteHeader(http.StatusNotFound) }))
		defer s.Close()
		at[i] = s.URL
	}
	with := func(url string) []byte {
		return bytes.Replace(schemes.Sandbox(), []byte("    bic: SANDHKH1\n"), []byte("    bic: SANDHKH1\n    url: "+url+"\n"), 1)
	}
	ctx := t.Context()
	n, err := newNode(ctx, nodeConfig{data: t.TempDir(), natsListen: "127.0.0.1:0", httpListen: "127.0.0.1:0", directory: with(at[0]), logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	ask := func(want int) {
		t.Helper()
		for i := range asked {
			asked[i].Store(0)
		}
		from, to := n.engine.Directory().Participants()[0].ID, n.engine.Directory().Participants()[1].ID
		agent := (*n.agents.of.Load())["sandbox-agent"]
		agent.Ask(ctx, settle.Transfer{Instruction: clearing.Instruction{ID: "I1", Window: 1, Debtor: from, Creditor: to, Amount: tongma.Money{Minor: 100, Currency: tongma.CNY}}})
		for i := range asked {
			if got := asked[i].Load() > 0; got != (i == want) {
				t.Errorf("address %d was asked: %t, want only %d", i, got, want)
			}
		}
	}
	ask(0)
	if _, err := n.adopt(ctx, with(at[1])); err != nil {
		t.Fatal(err)
	}
	ask(1)
	if _, err := n.registry.Add(with(at[2])); err != nil { // and it could not be kept
		t.Fatal(err)
	}
	ask(1)
}

// TestWhatBeginsBesideIsStopped: a shard to which somebody moves has the directory kept
// from a goroutine of its own, while SIGHUP brings adapters, or the office is left. All
// that began is stopped, once.
func TestWhatBeginsBesideIsStopped(t *testing.T) {
	n := &node{inOffice: true}
	var begun sync.WaitGroup
	var stopped atomic.Int64
	for range 8 {
		begun.Go(func() {
			for range 1000 {
				n.onClose(func(context.Context) { stopped.Add(1) })
			}
		})
	}
	n.leaveOffice()
	begun.Wait()
	n.Close()
	if stopped.Load() != 8000 {
		t.Errorf("%d of 8000 were stopped", stopped.Load())
	}
}
