package crash_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
	"github.com/tongma/tongma/adapters/scripted"
	"github.com/tongma/tongma/conformance/crash"
	"github.com/tongma/tongma/schemes"
)

// wallets are the sandbox's wallets and merchants' banks. They live in the test's
// process, so that they outlive every switch and remember what they moved.
type wallets struct {
	of       map[tongma.ParticipantID]*scripted.Wallet
	schemeOf map[string]tongma.ParticipantID
}

// startWallets connects one wallet for every participant that runs a scheme, with
// the key and the rights that a real one would have. A switch must have run on
// the site, since it makes the keys.
func startWallets(t *testing.T, s *site) *wallets {
	t.Helper()
	d, err := schemes.Parse(1, crash.Hasty(schemes.Sandbox()))
	if err != nil {
		t.Fatal(err)
	}
	w := &wallets{of: map[tongma.ParticipantID]*scripted.Wallet{}, schemeOf: map[string]tongma.ParticipantID{}}
	for _, scheme := range d.Schemes() {
		wallet := w.of[scheme.Participant]
		if wallet == nil {
			if wallet, err = scripted.New(scripted.Config{Default: scripted.Approve, Late: 200 * time.Millisecond, Confirm: 500 * time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			w.of[scheme.Participant] = wallet
			t.Cleanup(func() { _ = wallet.Close() })
		}
		w.schemeOf[string(scheme.ID)] = scheme.Participant
		nc := connect(t, s, scheme.Participant)
		svc, err := native.Serve(t.Context(), nc, native.ServiceConfig{Scheme: scheme.ID, Version: "1.0.0",
			Workers: 256, Queue: 1024, Log: slog.New(slog.DiscardHandler), Copies: wallet.Copies}, wallet)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close(); _ = svc.Stop() }) // in this order: there is nobody left to flush to
	}
	return w
}

// connect connects as a participant, and again whenever the switch is back.
func connect(t *testing.T, s *site, p tongma.ParticipantID) *nats.Conn {
	t.Helper()
	seed, err := nats.NkeyOptionFromSeed(filepath.Join(s.data, "creds", string(p)+".nk"))
	if err != nil {
		t.Fatal(err)
	}
	opts := append(native.ConnectOptions("crash-"+string(p), tongma.InboxPrefix(p)), seed, nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(0, 0), nats.Timeout(time.Second), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	nc, err := nats.Connect("nats://"+s.nats, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// compare holds the wallets' own books against the journal. It returns how many
// movements were compared.
func (w *wallets) compare(t *testing.T, b *crash.Books) (compared int) {
	t.Helper()
	said := crash.Movements{}
	for who, wallet := range w.of {
		for _, line := range wallet.Ledger().Lines {
			said.Add(string(who), line.Payment.String(), line.Amount.Minor, line.Moved)
		}
	}
	return b.CompareMovements(t, said, func(scheme string) string { return string(w.schemeOf[scheme]) })
}
