package clearing

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
	"go.uber.org/goleak"
)

// natsServer starts a server on a port, or a free one if 0; with a store folder
// it has JetStream and syncs always.
func natsServer(t testing.TB, port int, dir string) *server.Server {
	t.Helper()
	if port == 0 {
		port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true, JetStream: dir != "",
		StoreDir: dir, SyncAlways: true, MaxPayload: 1 << 20, NoSystemAccount: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { stopNATS(s) })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s
}

func stopNATS(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

func connectNATS(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// quickLease is twice as quick as those in service: on a busy machine a goroutine may not
// run for a quarter of a second.
func quickLease(nc *nats.Conn) *Lease {
	return NewLease(nc, LeaseOptions{Subject: "office.0", Every: 40 * time.Millisecond, Patience: 600 * time.Millisecond})
}

func least(epoch uint64) func() uint64 { return func() uint64 { return epoch } }

// noGoroutines is to be called first, so that it is checked last.
func noGoroutines(t testing.TB) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// beside has a test that mostly waits run beside the others. The goroutines that it
// leaves behind are looked for at the end of all tests.
func beside(t *testing.T) { t.Parallel() }

// TestSilenceIsLoss after as long as patience, and not before.
func TestSilenceIsLoss(t *testing.T) {
	beside(t)
	url := natsServer(t, 0, "").ClientURL()
	l := openLedger(t, journal.NewMemory(), LedgerOptions{})
	speaker, listener := connectNATS(t, url), connectNATS(t, url)
	held := later(func() error { return quickLease(speaker).Hold(context.Background(), l) })
	lost := later(func() error { return quickLease(listener).Watch(context.Background(), least(1)) })
	time.Sleep(time.Second)
	stillWaiting(t, "the watcher", lost)
	began := time.Now()
	speaker.Close() // as when the process is gone
	if err := eventually(t, "the watcher", lost); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < 150*time.Millisecond || took > 4*time.Second {
		t.Errorf("noticed after %v", took)
	}
	_ = l.Close()
	reasonIs(t, "the holder", eventually(t, "the holder", held), tongma.ShuttingDown)
}

// TestWhoLeavesSaysSo, and nobody waits.
func TestWhoLeavesSaysSo(t *testing.T) {
	noGoroutines(t)
	nc := connectNATS(t, natsServer(t, 0, "").ClientURL())
	patient := NewLease(nc, LeaseOptions{Subject: "office.0", Patience: time.Hour})
	l := openLedger(t, journal.NewMemory(), LedgerOptions{})
	lost := later(func() error { return patient.Watch(context.Background(), least(1)) })
	ctx, cancel := context.WithCancel(t.Context())
	held := later(func() error { return patient.Hold(ctx, l) })
	time.Sleep(50 * time.Millisecond)
	_ = l.Close()
	_ = eventually(t, "the holder", held)
	cancel()
	if err := eventually(t, "the watcher", lost); err != nil {
		t.Error(err)
	}
}

// TestOnlyTheWriterInOfficeCounts: a deposed one, and noise, are silence.
func TestOnlyTheWriterInOfficeCounts(t *testing.T) {
	noGoroutines(t)
	nc := connectNATS(t, natsServer(t, 0, "").ClientURL())
	l := openLedger(t, journal.NewMemory(), LedgerOptions{}) // epoch 1
	ctx, cancel := context.WithCancel(t.Context())
	held := later(func() error { return quickLease(nc).Hold(ctx, l) })
	noise := later(func() error {
		for ctx.Err() == nil {
			for _, data := range []string{"", "{", `{"epoch":0}`, `{"epoch":-1}`, `{"epoch":1,"left":true}`, `{"epoch":2,"switch":"` + strings.Repeat("x", maxWord) + `"}`} {
				if err := nc.Publish("office.0", []byte(data)); err != nil {
					return err
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
		return nil
	})
	if err := eventually(t, "the watcher", later(func() error { return quickLease(nc).Watch(t.Context(), least(2)) })); err != nil {
		t.Error(err)
	}
	cancel()
	_, _ = eventually(t, "the holder", held), eventually(t, "the noise", noise)
}

// TestAnOutageCostsOnePatience: a writer that did not come back after an outage of
// ours is lost as long after it as patience is, and not twice as long.
func TestAnOutageCostsOnePatience(t *testing.T) {
	beside(t)
	s := natsServer(t, 0, "")
	_, port, _ := net.SplitHostPort(s.Addr().String())
	listener := connectNATS(t, s.ClientURL())
	const patience = 2 * time.Second
	lease := NewLease(listener, LeaseOptions{Subject: "office.0", Every: 40 * time.Millisecond, Patience: patience})
	lost := later(func() error { return lease.Watch(t.Context(), least(1)) })
	time.Sleep(patience / 2)
	stopNATS(s)
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	natsServer(t, n, "")
	for listener.Stats().Reconnects == 0 {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	if err := eventually(t, "the watcher", lost); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < patience-100*time.Millisecond || took > patience*9/5 {
		t.Errorf("noticed %v after the outage, want %v", took, patience)
	}
}

// TestOurOwnOutageIsNotSilence: while the server is away nothing is known of the
// writer, and when it is back the writer has its time to be heard again.
func TestOurOwnOutageIsNotSilence(t *testing.T) {
	beside(t)
	s := natsServer(t, 0, "")
	_, port, _ := net.SplitHostPort(s.Addr().String())
	l := openLedger(t, journal.NewMemory(), LedgerOptions{})
	speaker, listener := connectNATS(t, s.ClientURL()), connectNATS(t, s.ClientURL())
	ctx, cancel := context.WithCancel(t.Context())
	held := later(func() error { return quickLease(speaker).Hold(ctx, l) })
	lost := later(func() error { return quickLease(listener).Watch(ctx, least(1)) })
	stopNATS(s)
	time.Sleep(1200 * time.Millisecond)
	stillWaiting(t, "the watcher, while the server is away", lost)
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	natsServer(t, n, "")
	time.Sleep(1200 * time.Millisecond)
	stillWaiting(t, "the watcher, with the server back", lost)
	cancel()
	if err := eventually(t, "the watcher", lost); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := eventually(t, "the holder", held); err != nil {
		t.Error(err)
	}
}

// TestAWordDeposesNobody: whatever is said of a later epoch, the ledger asks the
// journal, and goes on if that knows of none.
func TestAWordDeposesNobody(t *testing.T) {
	noGoroutines(t)
	nc := connectNATS(t, natsServer(t, 0, "").ClientURL())
	store := journal.NewMemory()
	l := openLedger(t, store, LedgerOptions{})
	submit(t, l, capOf("bank-a", 100))
	held := later(func() error { return quickLease(nc).Hold(context.Background(), l) })
	for range 50 {
		if err := nc.Publish("office.0", []byte(`{"epoch":99}`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Millisecond)
	}
	stillWaiting(t, "the holder", held)
	submit(t, l, hold(1, "bank-a", "shop-b", 10))
	young := takeOver(t, openStandby(t, store, LedgerOptions{}))
	ctx, cancel := context.WithCancel(t.Context())
	next := later(func() error { return quickLease(nc).Hold(ctx, young) })
	reasonIs(t, "an idle one that hears its successor", eventually(t, "the holder", held), tongma.SteppedDown)
	<-l.Stopped()
	cancel()
	if err := eventually(t, "the successor", next); err != nil {
		t.Error(err)
	}
}

// TestOneOfManySucceeds: the writer dies; of three standbys one is in office, and
// the others follow it. When that one leaves the next one is, and so on.
func TestOneOfManySucceeds(t *testing.T) {
	beside(t)
	url := natsServer(t, 0, "").ClientURL()
	store := journal.NewMemory()
	type successor struct {
		name   string
		ledger *Ledger
	}
	elected := make(chan successor, 3)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 3)
	for i := range 3 {
		name := fmt.Sprint("standby ", i)
		nc := connectNATS(t, url)
		s := openStandby(t, store, LedgerOptions{})
		go func() {
			lease := quickLease(nc)
			l, err := s.Succeed(ctx, lease)
			if err == nil {
				elected <- successor{name, l}
				err = lease.Hold(ctx, l)
			}
			ended <- err
		}()
	}
	seen := map[string]bool{}
	for i := range uint64(3) {
		var in successor
		select {
		case in = <-elected:
		case <-time.After(20 * time.Second):
			t.Fatal("nobody is in office")
		}
		submit(t, in.ledger, capOf("bank-a", int64(100+i)))
		time.Sleep(400 * time.Millisecond)
		if seen[in.name] || in.ledger.Epoch() != i+1 || in.ledger.Err() != nil || len(elected) > 0 {
			t.Errorf("%s in office in epoch %d: %v; %d more", in.name, in.ledger.Epoch(), in.ledger.Err(), len(elected))
		}
		seen[in.name] = true
		_ = in.ledger.Close()
		reasonIs(t, in.name, eventually(t, in.name, ended), tongma.ShuttingDown)
	}
	cancel()
	if r, err := Audit(t.Context(), store, AuditOptions{}); err != nil || !r.OK {
		t.Errorf("%v %+v", err, r.Findings)
	}
}

// TestSucceedEndsWithAStandbyThatCannotGoOn.
func TestSucceedEndsWithAStandbyThatCannotGoOn(t *testing.T) {
	noGoroutines(t)
	nc := connectNATS(t, natsServer(t, 0, "").ClientURL())
	store := journal.NewMemory()
	l := openLedger(t, store, LedgerOptions{})
	s := openStandby(t, store, LedgerOptions{})
	patient := NewLease(nc, LeaseOptions{Subject: "office.0", Patience: time.Hour})
	waiting := later(func() error { _, err := s.Succeed(context.Background(), patient); return err })
	caughtUp(t, s)
	_ = l.Close()
	store.Put([]byte("not a batch"))
	var chain *journal.ChainError
	if err := eventually(t, "who waits for office", waiting); !errors.As(err, &chain) {
		t.Errorf("got %v", err)
	}
}
