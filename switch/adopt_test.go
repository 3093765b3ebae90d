package switching

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
)

// TestADirectoryIsKeptBeforeAnyEntryGoesByIt: a successor that reads the entry finds
// the version. One that cannot be kept does not come into force.
func TestADirectoryIsKeptBeforeAnyEntryGoesByIt(t *testing.T) {
	var mu sync.Mutex // guards kept and refuse
	var kept []uint64
	refuse := errors.New("no room")
	b := over(t, journal.NewMemory(), func(o *Options) {
		o.Keep = func(_ context.Context, d *schemes.Directory) error {
			mu.Lock()
			defer mu.Unlock()
			if d.Version() == 2 {
				return refuse
			}
			kept = append(kept, d.Version())
			return nil
		}
		o.OnCommit = func(_ uint64, es []clearing.Entry) {
			mu.Lock()
			defer mu.Unlock()
			for _, e := range es {
				if e.Kind == clearing.KindDirectory && !slices.Contains(kept, e.Directory) {
					t.Errorf("version %d is in force and not kept", e.Directory)
				}
			}
		}
	})
	if err := b.engine.Adopt(t.Context(), market(t, 2, fast)); !errors.Is(err, refuse) {
		t.Errorf("adopted: %v", err)
	}
	if err := b.engine.Adopt(t.Context(), market(t, 3, fast)); err != nil {
		t.Error(err)
	}
	b.stands("wallet", 0, 0) // behind which all is seen
	if !slices.Equal(kept, []uint64{1, 3}) {
		t.Errorf("kept %v", kept)
	}
}

// TestVersionsComeIntoForceOneAfterTheOther: of several that are adopted at once no
// rule comes behind the name of another version.
func TestVersionsComeIntoForceOneAfterTheOther(t *testing.T) {
	var inForce uint64
	b := over(t, journal.NewMemory(), func(o *Options) {
		o.OnCommit = func(_ uint64, es []clearing.Entry) {
			for _, e := range es {
				switch {
				case e.Kind == clearing.KindDirectory:
					inForce = e.Directory
				case e.Kind == clearing.KindCap && inForce > 1 && e.Debtor == "wallet" && e.Amount.Minor != int64(inForce)*100:
					t.Errorf("version %d sets a cap of %d", inForce, e.Amount.Minor)
				}
			}
		}
	})
	var wg sync.WaitGroup
	for version := uint64(2); version < 20; version++ {
		d := market(t, version, strings.Replace(fast, `name: W, country: CN, roles: [acquirer, issuer], caps: {CNY: "100.00"}`,
			fmt.Sprintf(`name: W, country: CN, roles: [acquirer, issuer], caps: {CNY: "%d.00"}`, version), 1))
		wg.Go(func() {
			if err := b.engine.Adopt(t.Context(), d); err != nil && tongma.ReasonOf(err) != tongma.StateConflict {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b.stands("wallet", 0, 0) // behind which all is seen
	if inForce < 2 {
		t.Errorf("version %d is in force", inForce)
	}
}

// logged is what was logged.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestWhoLeavesTheDirectoryLeavesNothingBehind: of a payer's network that is taken out of
// the directory the payments under way come to their ends, what it owes stays and is
// settled, it makes no new debt, and the operator is told of it by name.
func TestWhoLeavesTheDirectoryLeavesNothingBehind(t *testing.T) {
	said := &logged{}
	b := over(t, journal.NewMemory(), func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(said, nil)) })
	b.want(b.do(payRequest("k1", 1, 1250)), tongma.Paid, tongma.NoReason)
	b.scheme.say(tongma.OpAuthorise, waiting)
	for range 3 {
		b.scheme.say(tongma.OpInquire, waiting)
	}
	open := b.do(payRequest("k2", 2, 300))
	b.want(open, tongma.Pending, tongma.PayerConfirming)

	var without []string
	for _, line := range strings.Split(fast, "\n") {
		if !strings.Contains(line, "wallet") {
			without = append(without, line)
		}
	}
	if err := b.engine.Adopt(t.Context(), market(t, 2, strings.Join(without, "\n"))); err != nil {
		t.Fatal(err)
	}
	if log := said.String(); !strings.Contains(log, "participant=wallet currency=CNY position=1250 reserved=300") || strings.Count(log, "any more") != 1 {
		t.Errorf("the operator was told %q", log)
	}
	if a, err := b.engine.Do(t.Context(), payRequest("k3", 3, 1)); err == nil && a.Status != tongma.Refused {
		t.Errorf("%+v", a)
	}
	b.want(b.ends(open.Payment), tongma.Paid, tongma.NoReason)
	b.stands("wallet", 1550, 0)
	b.stands("acq", -1550, 0)
	res, err := b.engine.Ledger().Submit(t.Context(), clearing.Entry{Kind: clearing.KindClose})
	if err != nil || !res.Write {
		t.Fatal(err, res.Verdict)
	}
	err = b.engine.Ledger().Read(t.Context(), func(book *clearing.Book) {
		if s, _ := book.Sheet(res.Entry.Window); len(s.Legs) != 2 || s.Legs[1].Debtor != "wallet" || s.Legs[1].Net != 1550 {
			t.Errorf("%+v", s.Legs)
		}
		for _, p := range book.Positions() {
			if p.Participant == "wallet" && p.Cap != 0 {
				t.Errorf("%+v", p)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestAVersionIsInForceOnceItIsKept: not when the registry has it, and never behind the
// entry that names it. One that could not be kept is not gone by.
func TestAVersionIsInForceOnceItIsKept(t *testing.T) {
	var engine atomic.Pointer[Engine]
	registry := schemes.NewMemoryRegistry(market(t, 1, fast))
	full := errors.New("no room")
	b := over(t, journal.NewMemory(), func(o *Options) {
		o.Registry = registry
		o.Keep = func(_ context.Context, d *schemes.Directory) error {
			if e := engine.Load(); e != nil && e.Directory().Version() == d.Version() {
				t.Errorf("version %d is in force, and not kept", d.Version())
			}
			err := full
			if full = nil; d.Version() == 1 {
				full, err = err, nil
			}
			return err
		}
		o.OnCommit = func(_ uint64, es []clearing.Entry) {
			for _, e := range es {
				if at := engine.Load(); at != nil && e.Kind == clearing.KindDirectory && at.Directory().Version() != e.Directory {
					t.Errorf("version %d is named, and %d in force", e.Directory, at.Directory().Version())
				}
			}
		}
	})
	engine.Store(b.engine)
	d, err := registry.Add([]byte(fast + "# the second\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.engine.Adopt(t.Context(), d); err == nil || b.engine.Directory().Version() != 1 {
		t.Errorf("version %d is in force, %v", b.engine.Directory().Version(), err)
	}
	if err := b.engine.Adopt(t.Context(), d); err != nil || b.engine.Directory().Version() != 2 {
		t.Errorf("version %d is in force, %v", b.engine.Directory().Version(), err)
	}
	if err := b.engine.Adopt(t.Context(), market(t, 1, fast)); err == nil || b.engine.Directory().Version() != 2 {
		t.Errorf("version %d is in force again, %v", b.engine.Directory().Version(), err)
	}
}

// TestAVersionIsWhatTheBooksKnowItBy: another directory under the number of the one that
// the books go by, as of a folder that was put back, is refused, and nothing of it is in
// force.
func TestAVersionIsWhatTheBooksKnowItBy(t *testing.T) {
	store := journal.NewMemory()
	b := over(t, store, nil)
	other := market(t, 1, strings.Replace(fast, `name: W, country: CN, roles: [acquirer, issuer], caps: {CNY: "100.00"}`, `name: W, country: CN, roles: [acquirer, issuer], caps: {CNY: "900.00"}`, 1))
	if err := b.engine.Adopt(t.Context(), other); err == nil || b.engine.Directory() == other {
		t.Errorf("another version 1 is in force: %v", err)
	}
	var limit int64
	see := func(book *clearing.Book) {
		for _, p := range book.Positions() {
			if p.Participant == "wallet" {
				limit = p.Cap
			}
		}
	}
	if err := b.engine.Ledger().Read(t.Context(), see); err != nil || limit != 10000 {
		t.Errorf("the cap is %d, %v", limit, err)
	}
	if err := b.engine.Close(); err != nil {
		t.Fatal(err)
	}
	e, err := Open(t.Context(), Options{Store: store, Registry: schemes.NewMemoryRegistry(other), Digest: func(string) (d [16]byte) { return d }})
	if err == nil {
		e.Close()
		t.Error("a start goes by another version 1 than the books")
	}
}

// TestWhoIsStrandedWhileItsSchemeComesIsTakenUp: a payment of which nobody knew how to
// ask its scheme is not forgotten if an adapter comes in the moment before that is known.
func TestWhoIsStrandedWhileItsSchemeComesIsTakenUp(t *testing.T) {
	b := over(t, journal.NewMemory(), func(o *Options) { o.LookAgain = time.Hour })
	id := b.engine.opts.NewID()
	hold := clearing.Entry{Kind: clearing.KindHold, Payment: id, Op: tongma.OpPay, Asker: "acq", Key: "K1", Debtor: "wallet", Creditor: "acq", Scheme: "wechat", Amount: tongma.Money{Minor: 100, Currency: tongma.CNY}}
	if res, err := b.engine.Ledger().Submit(t.Context(), hold); err != nil || !res.Write {
		t.Fatal(res.Reason, err)
	}
	c := newCourse(id) // as resume does, when there is no adapter
	if !b.engine.beginAlone(c) {
		t.Fatal("it is driven")
	}
	b.engine.strand(id, "wechat")
	b.engine.Reach("wechat", b.scheme)
	b.engine.end(c)
	until(t, "the end of the payment", func() bool {
		final := false
		err := b.engine.Ledger().Read(t.Context(), func(book *clearing.Book) { p, _ := book.Payment(id); final = p.Final() })
		return err == nil && final
	})
}

// TestAPaymentUnderWayHasTheFeesOfItsScheme: also if a version has left the scheme out by
// the time that its payer says yes, and with it the rules.
func TestAPaymentUnderWayHasTheFeesOfItsScheme(t *testing.T) {
	b := over(t, journal.NewMemory(), func(o *Options) { o.Registry = schemes.NewMemoryRegistry(market(t, 1, settling)) })
	b.scheme.say(tongma.OpAuthorise, waiting)
	for range 3 {
		b.scheme.say(tongma.OpInquire, waiting)
	}
	open := b.do(payRequest("k1", 1, 1000))
	b.want(open, tongma.Pending, tongma.PayerConfirming)
	rules, _, _ := strings.Cut(settling, "\nfees:")
	var without []string
	for _, line := range strings.Split(rules, "\n") {
		if !strings.Contains(line, "wechat") {
			without = append(without, line)
		}
	}
	if err := b.engine.Adopt(t.Context(), market(t, 2, strings.Join(without, "\n"))); err != nil {
		t.Fatal(err)
	}
	b.want(b.ends(open.Payment), tongma.Paid, tongma.NoReason)
	b.stands("wallet", 1000-10, 0)
	b.stands("hub", -5, 0)
	b.stands("acq", -1000+10+5, 0)
}

// TestAVersionComesWholeBehindAFullQueue: where the journal stands still for a while and
// takes nothing more, a version waits for it, and is not left half in force.
func TestAVersionComesWholeBehindAFullQueue(t *testing.T) {
	store := &slow{Memory: journal.NewMemory()}
	b := over(t, store, func(o *Options) {
		o.Office = func(ctx context.Context, opts clearing.LedgerOptions) (*clearing.Ledger, error) {
			opts.QueueLimit = 2
			return clearing.OpenLedger(ctx, store, opts)
		}
	})
	store.shut.Store(true)
	ledger, all := b.engine.Ledger(), sync.WaitGroup{}
	for n := range 8 {
		if n == 1 {
			until(t, "a writer that waits for the store", func() bool { return store.waiting.Load() > 0 })
		}
		all.Go(func() {
			_, _ = ledger.Submit(t.Context(), clearing.Entry{Kind: clearing.KindCap, Debtor: "other", Amount: tongma.Money{Minor: int64(n), Currency: tongma.CNY}})
		})
	}
	until(t, "a full queue", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		return tongma.ReasonOf(ledger.Read(ctx, func(*clearing.Book) {})) == tongma.Overloaded
	})
	adopted := make(chan error, 1)
	go func() { adopted <- b.engine.Adopt(t.Context(), market(t, 2, fast)) }()
	time.Sleep(20 * time.Millisecond)
	store.shut.Store(false)
	all.Wait()
	var named uint64
	if err := <-adopted; err != nil {
		t.Error(err)
	}
	if err := ledger.Read(t.Context(), func(book *clearing.Book) { named = book.Directory() }); err != nil || named != b.engine.Directory().Version() {
		t.Errorf("the books go by version %d, the engine by %d, %v", named, b.engine.Directory().Version(), err)
	}
}
