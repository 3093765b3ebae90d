package shard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	switching "github.com/tongma/tongma/switch"
)

// widen makes room for one more shard, whose journal is empty, and starts none.
func (m *market) widen() {
	m.stores = append(m.stores, journal.NewMemory())
	m.engines, m.nodes, m.conns = append(m.engines, nil), append(m.nodes, nil), append(m.conns, nil)
	m.t.Cleanup(func() { m.stop(uint16(len(m.nodes))) })
}

// TestAnotherShardJoins: the others are started again one after the other, while there
// are payments; until all of them know of it, nobody is moved there. Then it has whoever
// is moved there, and the head gathers it. Payments of before are found as ever.
func TestAnotherShardJoins(t *testing.T) {
	m := newMarket(t, 2)
	banks, first := []string{"weibank", "alibank", "unibank"}, map[string]tongma.Answer{}
	serial, sums := 0, map[string]int64{}
	pay := func(door uint16, bank string) {
		t.Helper()
		serial++
		key := fmt.Sprint("k", serial)
		first[key] = m.mustPay(door, bank, key, serial, 100)
		sums[bank] += 100
	}
	for i := range 6 {
		pay(uint16(i%2+1), banks[i%3])
	}
	m.widen()
	m.start(3) // before the others know of it
	if _, count := m.nodes[0].Number(); count != 2 {
		t.Fatal("the first shard knows of it already")
	}
	pay(3, "weibank") // its doors are open to all
	who := tongma.ParticipantID("")
	for _, bank := range banks {
		if clearing.HomeOf(tongma.ParticipantID(bank), 2) == 2 {
			who = tongma.ParticipantID(bank)
		}
	}
	refused := func(door uint16, what string) {
		t.Helper()
		for _, dry := range []bool{true, false} {
			r, err := m.nodes[door-1].Move(t.Context(), who, 3, dry)
			if err == nil && (r.Refused == "" || !strings.Contains(r.Refused, what)) {
				t.Errorf("moved to a shard that not all know of: %+v", r)
			}
		}
	}
	refused(1, "")
	refused(3, "shard 2, where it is at home")
	m.stop(2)
	m.start(2)
	refused(2, "shard 1")
	m.stop(1)
	m.start(1)
	m.eventually("all know of each other", func() bool {
		r, err := m.nodes[1].Move(t.Context(), who, 3, true)
		return err == nil && r.Refused == ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if r, err := m.nodes[0].Move(ctx, who, 3, false); err != nil || !r.Done {
		t.Fatalf("%+v, %v", r, err)
	}
	for i := range 9 {
		pay(uint16(i%3+1), banks[i%3])
	}
	posted := 0
	for serial := range serial {
		key := fmt.Sprint("k", serial+1)
		for door := uint16(1); door <= 3; door++ {
			a, err := m.engines[door-1].Do(t.Context(), tongma.Request{Op: tongma.OpInquire, From: "acq", OfKey: key})
			if err != nil || a.Payment != first[key].Payment || a.Outcome != tongma.Approved {
				t.Errorf("%s at %d: %+v, %v", key, door, a, err)
			}
		}
		if first[key].Payment[15] == 3 {
			posted++
		}
	}
	if posted == 0 {
		t.Error("the new shard has made no payment")
	}
	w := m.submit(1, clearing.Entry{Kind: clearing.KindClose}).Entry.Window
	m.eventually("the head has gathered all", func() bool { return len(m.sheet(1, w).Awaited) == 0 })
	for _, n := range m.sheet(1, w).Nets {
		if n.Participant != "acq" && n.Net != sums[string(n.Participant)] {
			t.Errorf("%s: net %d, paid %d", n.Participant, n.Net, sums[string(n.Participant)])
		}
	}
	m.submit(1, clearing.Entry{Kind: clearing.KindInstruct, Window: w})
	for range 2 {
		for _, in := range clearing.Instruct(m.sheet(1, w)) {
			m.submit(1, in.Confirm())
		}
	}
	m.submit(1, clearing.Entry{Kind: clearing.KindSettled, Window: w})
	m.eventually("nothing is on its way", func() bool {
		lies := 0
		for _, e := range m.engines {
			_ = e.Ledger().Read(t.Context(), func(b *clearing.Book) { lies += len(b.Astray()) + len(b.Following()) + m.underWay(b) })
		}
		return lies == 0
	})
	for _, p := range m.audit().Positions {
		if p.Position != 0 {
			t.Errorf("%+v is left", p)
		}
	}
}

// TestAShardCannotLeave: a writer that knows of fewer shards than its journal, or is of
// another one, finds out by reading. The one that is running is not disturbed.
func TestAShardCannotLeave(t *testing.T) {
	m := newMarket(t, 3)
	epoch := m.engines[1].Ledger().Epoch()
	before, err := m.stores[1].Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []Options{{Self: 2, Count: 2}, {Self: 3, Count: 3}} {
		wrong.Conn = m.conns[1]
		e, err := m.open(2, New(wrong))
		if tongma.ReasonOf(err) != tongma.SetupInvalid || !errors.Is(err, switching.ErrNotOurs) || !strings.Contains(err.Error(), "2 of 3") || !strings.Contains(err.Error(), "No money moved") {
			t.Errorf("%v, %v", e, err)
		}
	}
	if after, err := m.stores[1].Last(t.Context()); err != nil || after != before {
		t.Errorf("the journal has %d messages, it had %d: %v", after, before, err)
	}
	for i, bank := range []string{"weibank", "alibank", "unibank"} {
		m.mustPay(2, bank, "k-"+bank, i, 100)
	}
	if now := m.engines[1].Ledger(); now.Epoch() != epoch || now.Err() != nil {
		t.Errorf("epoch %d, it was %d: %v", now.Epoch(), epoch, now.Err())
	}
	m.audit()
}

// TestANewShardWaitsForTheFirst, which says over how many keys are spread; else it would
// look for them where they are not.
func TestANewShardWaitsForTheFirst(t *testing.T) {
	m := newMarket(t, 2)
	m.widen()
	m.stop(1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	n := New(Options{Self: 3, Count: 3, Conn: m.conns[1]})
	if over, err := n.Spread(ctx); tongma.ReasonOf(err) != tongma.Overloaded {
		t.Errorf("%d, %v", over, err)
	}
	m.start(1)
	if over, err := n.Spread(t.Context()); err != nil || over != 2 {
		t.Errorf("%d, %v", over, err)
	}
}
