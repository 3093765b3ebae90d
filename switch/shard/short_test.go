package shard

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/switch/settle"
)

// till is a settlement agent that has so much of each participant's money.
type till struct {
	mu   sync.Mutex
	has  map[tongma.ParticipantID]int64
	done map[string]bool
}

func (a *till) Move(_ context.Context, t settle.Transfer) settle.Word {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.done[t.ID] && t.Debtor != "" && a.has[t.Debtor] < t.Amount.Minor {
		return settle.Word{Outcome: settle.Rejected, Text: "no funds"}
	}
	if !a.done[t.ID] {
		a.has[t.Debtor] -= t.Amount.Minor
		a.has[t.Creditor] += t.Amount.Minor
	}
	a.done[t.ID] = true
	return settle.Word{Outcome: settle.Settled, Amount: t.Amount}
}

func (a *till) Ask(_ context.Context, t settle.Transfer) settle.Word {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.done[t.ID] {
		return settle.Word{Outcome: settle.Settled, Amount: t.Amount}
	}
	return settle.Word{Outcome: settle.Unheard}
}

// TestWhoIsShortInTheHeadIsShortEverywhere: the head finds that somebody cannot pay, whose
// payments are in two other shards. All shards take no more of its debits; what it has
// under way ends. What was gathered stays due, and whoever settles hears what to do. When
// the money has come, the window settles, and all is at home again.
func TestWhoIsShortInTheHeadIsShortEverywhere(t *testing.T) {
	m := newMarketOf(t, 3, source+"default_rules:\n  - {currency: CNY, recast: true}\n")
	who := "" // at home in another shard than the head
	for _, bank := range []string{"weibank", "alibank", "unibank"} {
		if clearing.HomeOf(tongma.ParticipantID(bank), 3) != clearing.Head {
			who = bank
		}
	}
	home := clearing.HomeOf(tongma.ParticipantID(who), 3)
	other := 5 - home // neither that nor the head
	m.mustPay(1, who, "first", 1, 3_000)
	if r, err := m.nodes[0].Move(t.Context(), tongma.ParticipantID(who), other, false); err != nil || !r.Done {
		t.Fatalf("%+v, %v", r, err)
	}
	m.mustPay(1, who, "second", 2, 2_000)
	w := m.submit(1, clearing.Entry{Kind: clearing.KindClose}).Entry.Window
	m.eventually("the window is whole", func() bool { return len(m.sheet(1, w).Awaited) == 0 })
	hold := clearing.Entry{Kind: clearing.KindHold, Op: tongma.OpPay, Payment: m.nodes[other-1].NewID(), Asker: "acq", Debtor: tongma.ParticipantID(who), Creditor: "acq", Scheme: "wechat",
		Amount: tongma.Money{Minor: 500, Currency: tongma.CNY}}
	for i := 0; hold.Key == "" || clearing.OwnerOf("acq", hold.Key, 3) != other; i++ {
		hold.Key = fmt.Sprint("held-", i)
	}
	if res := m.submit(other, hold); res.Entry.Kind != clearing.KindHold || res.Reason != tongma.NoReason {
		t.Fatalf("%+v", res)
	}
	agent := &till{has: map[tongma.ParticipantID]int64{tongma.ParticipantID(who): 4_999}, done: map[string]bool{}}
	s := settle.New(settle.Options{Ledger: m.engines[0].Ledger(), Directory: func() *schemes.Directory { return m.engines[0].Directory() },
		Agent: func(*clearing.Sheet, tongma.Currency) settle.Agent { return agent }})
	r, err := s.Settle(t.Context(), w, settle.How{})
	if err != nil || r.Done() || len(r.Open) != 1 || !strings.Contains(r.Open[0].Text, "other shards") || !strings.Contains(r.Open[0].Text, "window confirm") {
		t.Fatalf("%+v, %v", r, err)
	}
	m.eventually("it is suspended everywhere", func() bool {
		n := 0
		for _, e := range m.engines {
			_ = e.Ledger().Read(t.Context(), func(b *clearing.Book) {
				for _, p := range b.Positions() {
					if string(p.Participant) == who && p.Currency == tongma.CNY && p.Suspended {
						n++
						break
					}
				}
			})
		}
		return n == 3
	})
	for door := uint16(1); door <= 3; door++ {
		if a, err := m.pay(door, who, fmt.Sprint("more-", door), 10+int(door), 1); err != nil || a.Reason != tongma.ParticipantSuspended {
			t.Errorf("at %d: %+v, %v", door, a, err)
		}
	}
	if res := m.submit(other, clearing.Entry{Kind: clearing.KindPost, Payment: hold.Payment}); res.Reason != tongma.NoReason {
		t.Errorf("what was under way does not end: %s", res.Reason)
	}
	agent.mu.Lock()
	agent.has[tongma.ParticipantID(who)] = 10_000
	agent.mu.Unlock()
	if r, err = s.Settle(t.Context(), w, settle.How{Retry: true}); err != nil || !r.Done() {
		t.Fatalf("%+v, %v", r, err)
	}
	m.submit(1, clearing.Entry{Kind: clearing.KindResume, Debtor: tongma.ParticipantID(who), Maker: "ann"})
	m.eventually("it may pay again", func() bool {
		a, err := m.pay(1, who, fmt.Sprint("again-", m.nodes[0].NewID()), 100+int(m.nodes[0].NewID()[14]), 1)
		return err == nil && a.Outcome == tongma.Approved
	})
	m.settleAll()
	for _, p := range m.audit().Positions {
		if p.Position != 0 || p.Reserved != 0 {
			t.Errorf("%+v is left", p)
		}
	}
}
