package clearing

import (
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
)

// keeper is a Book with its journal in a slice: what the Ledger does, without
// goroutines and disks.
type keeper struct {
	book    *Book
	written []Entry
	now     int64
}

// startMillis is 2026-11-22 00:00 UTC.
const startMillis = 1_795_305_600_000

func newKeeper() *keeper { return &keeper{book: NewBook(), now: startMillis} }

// submit proposes e and, if the Book says so, writes and applies it.
func (k *keeper) submit(t testing.TB, e Entry) (Verdict, Entry) {
	t.Helper()
	v := k.book.Propose(&e, k.now)
	if v.Write {
		if err := k.book.Apply(&e); err != nil {
			t.Fatalf("the Book refuses what it proposed: %v", err)
		}
		k.written = append(k.written, e)
	}
	return v, e
}

// must submits e, which has to be written as it is.
func (k *keeper) must(t testing.TB, e Entry) Entry {
	t.Helper()
	v, out := k.submit(t, e)
	if !v.Write || out.Kind != e.Kind {
		t.Fatalf("%s: written %t as %s, reason %s", e.Kind, v.Write, out.Kind, v.Reason)
	}
	return out
}

// replayed returns a Book made of the canonical bytes of what was written.
func replayed(t testing.TB, written []Entry) *Book {
	t.Helper()
	b := NewBook()
	for i := range written {
		e, err := ParseEntry(written[i].AppendTo(nil))
		if err != nil {
			t.Fatalf("entry %d does not parse: %v", i+1, err)
		}
		if err := b.Apply(&e); err != nil {
			t.Fatalf("replay: %v", err)
		}
	}
	return b
}

// audited audits entries as they stand, without a chain.
func audited(written []Entry) Report {
	a := NewAuditor(AuditOptions{})
	for i := range written {
		a.Entry(&written[i])
	}
	return a.Report()
}

// sameBooks fails unless both Books show the same to everybody outside.
func sameBooks(t testing.TB, got, want *Book) {
	t.Helper()
	if g, w := got.Positions(), want.Positions(); !reflect.DeepEqual(g, w) {
		t.Fatalf("positions differ:\n%+v\n%+v", g, w)
	}
	if g, w := got.Sheets(0), want.Sheets(0); !reflect.DeepEqual(g, w) {
		t.Fatalf("sheets differ:\n%+v\n%+v", g, w)
	}
	every := func(*Payment) bool { return true }
	if g, w := got.Recent(1<<30, every), want.Recent(1<<30, every); !reflect.DeepEqual(g, w) {
		t.Fatalf("payments differ:\n%+v\n%+v", g, w)
	}
	if !reflect.DeepEqual(got.OpenPayments(), want.OpenPayments()) || got.Unfinished() != want.Unfinished() {
		t.Fatal("open payments differ")
	}
	if got.Next() != want.Next() || got.Clock() != want.Clock() || got.Directory() != want.Directory() {
		t.Fatal("next, clock or directory differ")
	}
}

// sameAsAudit fails unless the report says what the Book says.
func sameAsAudit(t testing.TB, r Report, b *Book) {
	t.Helper()
	if !r.OK {
		t.Fatalf("audit: %+v", r.Findings)
	}
	audited := map[[2]string]AuditPosition{}
	for _, p := range r.Positions {
		audited[[2]string{p.Participant, p.Currency}] = p
	}
	for _, p := range b.Positions() {
		a := audited[[2]string{string(p.Participant), p.Currency.Code()}]
		if a.Cap != nil && *a.Cap != p.Cap {
			t.Fatalf("the Book has a cap of %d, the audit %d", p.Cap, *a.Cap)
		}
		if a.Position != p.Position || a.Reserved != p.Reserved || (a.Cap != nil) != p.Capped || a.Suspended != p.Suspended || a.Prefunded != p.Prefunded ||
			a.Sponsor != string(p.Sponsor) || a.Memo != p.MemoPosition || a.MemoHeld != p.MemoReserved {
			t.Fatalf("the Book has %+v, the audit %+v", p, a)
		}
	}
	if int(r.OpenHolds) > b.Unfinished() || len(r.Windows) != len(b.Sheets(0)) {
		t.Fatalf("holds %d of %d, windows %d", r.OpenHolds, b.Unfinished(), len(r.Windows))
	}
	for i, s := range b.Sheets(0) {
		w := r.Windows[i]
		if w.State != s.Progress.String() || w.Opened != s.Opened || w.Closed != s.Closed || len(w.Nets) != len(s.Nets) {
			t.Fatalf("window %d: the Book has %+v, the audit %+v", i+1, s, w)
		}
		for j, n := range s.Nets {
			if w.Nets[j] != (AuditNet{string(n.Participant), n.Currency.Code(), n.Net}) {
				t.Fatalf("window %d: the Book has %+v, the audit %+v", i+1, n, w.Nets[j])
			}
		}
	}
}

func testID(n uint64) (id tongma.PaymentID) {
	binary.BigEndian.PutUint64(id[:8], 0x0192_0000_0000_7000)
	binary.BigEndian.PutUint64(id[8:], 0x8000_0000_0000_0000|n)
	return id
}

// batches packs entries into batches of a stream, n in each, behind an epoch record.
func batches(t testing.TB, written []Entry, n int) *journal.Memory {
	t.Helper()
	store := journal.NewMemory()
	log, err := journal.Open(t.Context(), store, 0, func(journal.Batch) error { return nil })
	if err == nil {
		err = log.TakeOver(t.Context(), startMillis)
	}
	for len(written) > 0 && err == nil {
		var data [][]byte
		last := min(n, len(written)) - 1
		for i := range written[:last+1] {
			data = append(data, written[i].AppendTo(nil))
		}
		err = log.Commit(t.Context(), data, written[last].Time, written[last].Directory)
		written = written[last+1:]
	}
	if err != nil {
		t.Fatal(err)
	}
	return store
}
