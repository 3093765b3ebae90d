package api

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
)

// looked counts how often a store is asked, and how many messages it gives.
type looked struct {
	journal.Store
	reads, messages int
}

func (l *looked) Read(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	l.reads++
	return l.Store.Read(ctx, from, func(seq uint64, message []byte) error {
		l.messages++
		return fn(seq, message)
	})
}

// longJournal has batches of very different sizes: long runs of single entries,
// and full ones between.
func longJournal(t testing.TB, batches int) (store *looked, entries uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	memory := journal.NewMemory()
	number := uint64(1)
	for i := range batches {
		b := journal.Batch{Epoch: uint64(1 + i/1000), Number: uint64(i + 1), First: number}
		count := 1
		if i/777%3 == 2 {
			count = 1 + r.IntN(30)
		}
		if i%1000 == 0 {
			count = 0 // an epoch record
		}
		for range count {
			e := clearing.Entry{Kind: clearing.KindSuspend, Number: number, Time: 1, Debtor: "bank"}
			b.Entries = append(b.Entries, e.AppendTo(nil))
			number++
		}
		memory.Put(b.AppendTo(nil))
	}
	return &looked{Store: memory}, number - 1
}

func TestAPageOfALongJournalIsFoundWithFewReadings(t *testing.T) {
	store, entries := longJournal(t, 20_000)
	var m marks
	page := func(from uint64) (reads int) {
		t.Helper()
		store.reads, store.messages = 0, 0
		lines, err := m.lines(t.Context(), store, from, 10)
		if want := min(10, entries+1-min(from, entries+1)); err != nil || len(lines) != int(want) || (want > 0 && lines[0].Entry != from) {
			t.Fatalf("from %d of %d: %v, %d lines, want %d", from, entries, err, len(lines), want)
		}
		if store.messages > nearby+40 {
			t.Errorf("from %d: %d messages were read", from, store.messages)
		}
		return store.reads
	}
	if reads := page(entries / 2); reads > 20 {
		t.Errorf("the first page takes %d readings", reads)
	}
	for from := entries / 2; from < entries/2+100; from += 10 {
		if reads := page(from); reads != 1 {
			t.Errorf("a page behind another takes %d readings", reads)
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	total := 0
	for range 500 {
		total += page(1 + r.Uint64N(entries+5))
	}
	if total > 5*500 {
		t.Errorf("%d readings for 500 pages here and there", total)
	}
	if page(1) > 2 || page(entries) > 4 || page(entries+100) > 4 {
		t.Error("the ends are far away")
	}
	for i := range uint64(3 * marksMost) {
		m.add(mark{1_000_000 + i, 10_000_000 + i})
	}
	if n := len(m.known); n > marksMost {
		t.Errorf("%d places are remembered", n)
	}
}

func TestAnEmptyJournalHasNoLines(t *testing.T) {
	var m marks
	if lines, err := m.lines(t.Context(), journal.NewMemory(), 1, 10); err != nil || len(lines) != 0 {
		t.Fatal(lines, err)
	}
}

// TestOthersFeesAreNotShown: a party sees its payment and its own fees; one that
// is named in a fee only sees that fee; a stranger hears of nothing.
func TestOthersFeesAreNotShown(t *testing.T) {
	yuan := func(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.CNY} }
	e := &clearing.Entry{Kind: clearing.KindPost, Number: 7, Asker: "acq", Key: "k", Debtor: "wallet", Creditor: "acq", Amount: yuan(1000), Merchant: "M1", SchemeRef: "R", Window: 1,
		Legs: []clearing.Leg{{Kind: 1, From: "acq", To: "wallet", Amount: yuan(6)}, {Kind: 2, From: "acq", To: "club", Amount: yuan(1)}}}
	see := func(who tongma.ParticipantID) (clearing.Line, bool) {
		c := &call{who: who, operator: who == ""}
		return c.line(e, 3), c.concerns(e)
	}
	if l, ok := see(""); !ok || len(l.Fees) != 2 || l.Hash == "" {
		t.Errorf("operator: %+v", l)
	}
	if l, ok := see("acq"); !ok || len(l.Fees) != 2 || l.Hash == "" || l.Key != "k" {
		t.Errorf("acq pays both: %+v", l)
	}
	if l, ok := see("wallet"); !ok || len(l.Fees) != 1 || l.Fees[0].To != "wallet" || l.Hash != "" || l.Key != "" || *l.AmountMin != 1000 {
		t.Errorf("wallet: %+v", l)
	}
	if l, ok := see("club"); !ok || len(l.Fees) != 1 || l.Fees[0].To != "club" || l.Debtor != "" || l.Creditor != "" || l.AmountMin != nil || l.Merchant != "" || l.SchemeRef != "" ||
		l.Currency != "CNY" || l.Entry != 7 || l.Kind != "post" {
		t.Errorf("club: %+v", l)
	}
	if l, ok := see("other"); ok {
		t.Errorf("a stranger hears of %+v", l)
	}
	e = &clearing.Entry{Kind: clearing.KindCapApproved, Number: 8, Debtor: "wallet", Amount: yuan(5), Maker: "ann", Checker: "bob"}
	if l, ok := see("wallet"); !ok || l.Maker != "" || l.Checker != "" || *l.AmountMin != 5 {
		t.Errorf("wallet: %+v", l)
	}
}
