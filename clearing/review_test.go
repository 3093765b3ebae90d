package clearing

import (
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
)

// TestAnOlderDirectoryIsRefused, also through the Ledger, which fills in the
// version in force where an entry names none.
func TestAnOlderDirectoryIsRefused(t *testing.T) {
	l := openLedger(t, journal.NewMemory(), LedgerOptions{})
	submit(t, l, Entry{Kind: KindDirectory, Directory: 2})
	if r := submit(t, l, Entry{Kind: KindDirectory, Directory: 1}); r.Write || r.Exists || r.Reason != tongma.StateConflict {
		t.Errorf("got %+v", r.Verdict)
	}
	if r := submit(t, l, Entry{Kind: KindDirectory, Directory: 2}); !r.Exists {
		t.Errorf("got %+v", r.Verdict)
	}
	if r := submit(t, l, capOf("bank-a", 100)); r.Entry.Directory != 2 {
		t.Errorf("a cap under directory %d, want 2", r.Entry.Directory)
	}
}

// TestADeferredPaymentNamesTheEntryThatDeferredIt: what askers are told comes of
// one entry, the window in it too.
func TestADeferredPaymentNamesTheEntryThatDeferredIt(t *testing.T) {
	l := openLedger(t, journal.NewMemory(), LedgerOptions{})
	submit(t, l, capOf("bank-a", 100))
	e := hold(1, "bank-a", "shop-b", 50)
	submit(t, l, e)
	posted := submit(t, l, Entry{Kind: KindPost, Payment: e.Payment})
	submit(t, l, Entry{Kind: KindClose})
	submit(t, l, Entry{Kind: KindInstruct, Window: 1})
	submit(t, l, Entry{Kind: KindShort, Window: 1, Debtor: "bank-a", Amount: tongma.Money{Minor: 50, Currency: tongma.CNY}, SchemeRef: "i-1"})
	deferred := submit(t, l, Entry{Kind: KindDefer, Window: 1, Payment: e.Payment})
	if p := posted.Payment; p.Entry != posted.Entry.Number || p.Window != 1 {
		t.Errorf("posted: entry %d, window %d", p.Entry, p.Window)
	}
	if p := deferred.Payment; !deferred.Write || p.Entry != deferred.Entry.Number || p.Window != 2 {
		t.Errorf("deferred: entry %d, window %d", p.Entry, p.Window)
	}
}

// TestTheDirectoryResumesOnlyWhomItSuspended: at each start the directory says again
// who is not suspended. That is no word on one that is short, or that a person has
// suspended.
func TestTheDirectoryResumesOnlyWhomItSuspended(t *testing.T) {
	b := NewBook()
	say := func(e Entry) bool {
		t.Helper()
		v := b.Propose(&e, b.Clock()+1)
		if v.Reason != tongma.NoReason {
			t.Fatalf("%s: %s", e.Kind, v.Reason)
		}
		if v.Write {
			if err := b.Apply(&e); err != nil {
				t.Fatal(err)
			}
		}
		return v.Write
	}
	cny := func(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.CNY} }
	say(Entry{Kind: KindOpen})
	say(Entry{Kind: KindCap, Debtor: "bank-a", Amount: cny(1000)})
	say(Entry{Kind: KindHold, Op: tongma.OpPay, Payment: tongma.PaymentID{1}, Asker: "bank-b", Key: "K", Debtor: "bank-a", Creditor: "bank-b", Scheme: "s", Amount: cny(100)})
	say(Entry{Kind: KindPost, Payment: tongma.PaymentID{1}})
	say(Entry{Kind: KindClose})
	say(Entry{Kind: KindInstruct, Window: 1})
	say(Entry{Kind: KindShort, Window: 1, Debtor: "bank-a", Amount: cny(100), Reason: tongma.AgentRejected, SchemeRef: "I"})
	if say(Entry{Kind: KindResume, Debtor: "bank-a"}) {
		t.Error("one that is short was resumed by the directory")
	}
	if !say(Entry{Kind: KindResume, Debtor: "bank-a", Maker: "ann"}) {
		t.Error("a person could not resume it")
	}
	say(Entry{Kind: KindSuspend, Debtor: "bank-a", Maker: "ann"})
	if say(Entry{Kind: KindResume, Debtor: "bank-a"}) || !say(Entry{Kind: KindResume, Debtor: "bank-a", Maker: "bob"}) {
		t.Error("the directory resumed whom a person suspended, or a person could not")
	}
	say(Entry{Kind: KindSuspend, Debtor: "bank-a"})
	if !say(Entry{Kind: KindResume, Debtor: "bank-a"}) {
		t.Error("the directory did not resume whom it suspended")
	}
	say(Entry{Kind: KindSuspend, Debtor: "bank-a"})
	if !say(Entry{Kind: KindSuspend, Debtor: "bank-a", Maker: "ann"}) || say(Entry{Kind: KindResume, Debtor: "bank-a"}) {
		t.Error("a person's suspension of one that the directory suspends was not kept")
	}
}
