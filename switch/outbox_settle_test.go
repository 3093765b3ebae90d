package switching

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
)

// told is an event as its participant reads it.
type told struct {
	kind, id, subject string
	SettlingView
	Figures []FigureView
	Legs    []LegView
}

// stream reads a participant's stream from its beginning.
func (p *posted) stream(who tongma.ParticipantID) (out []told) {
	p.t.Helper()
	s, err := p.js.Stream(p.t.Context(), tongma.EventStream(who))
	if err != nil {
		return nil
	}
	shapes, _ := eventShapes(p.t)
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(p.t.Context(), seq)
		if err != nil {
			p.t.Fatal(err)
		}
		e := told{kind: strings.TrimPrefix(m.Header.Get("ce-type"), "tongma."), id: m.Header.Get("ce-id"), subject: m.Header.Get("ce-subject")}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(m.Data))
		if err == nil {
			err = shapes(e.kind).Validate(v)
		}
		if err == nil {
			err = json.Unmarshal(m.Data, &e)
		}
		if err != nil || m.Subject != tongma.EventSubject(who, e.kind) {
			p.t.Fatalf("%s: %v\n%s", m.Subject, err, m.Data)
		}
		out = append(out, e)
	}
	return out
}

func kinds(all []told) (out []string) {
	for _, e := range all {
		out = append(out, e.kind)
	}
	return out
}

// shortWindow posts three payments and settles their window until one was covered in
// part, and one rolled over. It returns the latter.
func (p *posted) shortWindow() tongma.PaymentID {
	p.t.Helper()
	p.do(payRequest("a", 1, 1000))
	p.do(payRequest("b", 2, 700))
	last := p.do(payRequest("c", 3, 250)).Payment
	cny := func(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.CNY} }
	for _, e := range []clearing.Entry{
		{Kind: clearing.KindClose},
		{Kind: clearing.KindInstruct, Window: 1},
		{Kind: clearing.KindShort, Window: 1, Debtor: "wallet", Amount: cny(1950), SchemeRef: "d1", Reason: tongma.AgentRejected},
		{Kind: clearing.KindCoverAsked, Window: 1, Debtor: "wallet", Creditor: "acq", Amount: cny(300), SchemeRef: "c1"},
		{Kind: clearing.KindCoverRefused, Window: 1, Debtor: "wallet", Creditor: "acq", Amount: cny(300), SchemeRef: "c1", Reason: tongma.AgentRejected},
		{Kind: clearing.KindCoverAsked, Window: 1, Debtor: "wallet", Creditor: "acq", Amount: cny(200), SchemeRef: "c2"},
		{Kind: clearing.KindCover, Window: 1, Debtor: "wallet", Creditor: "acq", Amount: cny(200), SchemeRef: "c2"},
		{Kind: clearing.KindDefer, Window: 1, Payment: last, SchemeRef: "CNY"},
		{Kind: clearing.KindRecast, Window: 1},
	} {
		if res, err := p.engine.Ledger().Submit(p.t.Context(), e); err != nil || res.Reason != tongma.NoReason || res.Exists {
			p.t.Fatalf("%s: %+v, %v", e.Kind, res.Verdict, err)
		}
	}
	return last
}

// Whoever is short, is asked to pay for another, has paid, or has a payment rolled over,
// is told, in the order of the journal, with the amount and what to do; nobody else is.
// Another switch that takes over tells nothing twice.
func TestWhoIsShortOrAskedOrRolledOverIsTold(t *testing.T) {
	nc, store, dir, registry := startBus(t), journal.NewMemory(), t.TempDir(), schemes.NewMemoryRegistry(market(t, 1, fast))
	p := overBus(t, store, nc, dir, registry)
	last := p.shortWindow()
	want := []string{EventWindowClosed, EventShort, EventCoverAsked, EventCoverRefused, EventCoverAsked, EventCovered, EventDeferred, EventRecast}
	until(t, "the wallet's events", func() bool { return len(p.stream("wallet")) >= len(want) })
	wallet, acq := p.stream("wallet"), p.stream("acq")
	if got := kinds(wallet); !slices.Equal(got, want) {
		t.Errorf("the wallet hears\n%v\nwant\n%v", got, want)
	}
	if got := kinds(acq); !slices.Equal(got, append([]string{EventWindowClosed}, want[2:]...)) {
		t.Errorf("the acquirer hears %v", got)
	}
	if others := p.stream("north"); len(others) != 0 {
		t.Errorf("one who has nothing to do with it hears %v", kinds(others))
	}
	for _, c := range []struct {
		got  told
		want SettlingView
		of   string
	}{
		{wallet[1], SettlingView{Window: "win_000001", Role: "debtor", Currency: "CNY", Amount: "19.50", Debtor: "wallet", Instruction: "d1", Reason: tongma.AgentRejected.Code()}, "win_000001"},
		{acq[1], SettlingView{Window: "win_000001", Role: "payer", Currency: "CNY", Amount: "3.00", Debtor: "wallet", Payer: "acq", Instruction: "c1"}, "win_000001"},
		{acq[4], SettlingView{Window: "win_000001", Role: "payer", Currency: "CNY", Amount: "2.00", Debtor: "wallet", Payer: "acq", Instruction: "c2", SettlesIn: "win_000002"}, "win_000001"},
		{wallet[6], SettlingView{Window: "win_000001", Role: "debtor", Currency: "CNY", Amount: "2.50", Debtor: "wallet", Creditor: "acq", Payment: last.String(), SettlesIn: "win_000002"}, last.String()},
	} {
		c.want.Money, c.want.Do = c.got.Money, c.got.Do
		if c.got.SettlingView != c.want || c.got.subject != c.of {
			t.Errorf("%s of %s: %+v\nwant %+v", c.got.kind, c.got.subject, c.got.SettlingView, c.want)
		}
	}
	recast := wallet[7]
	if len(recast.Figures) != 1 || recast.Figures[0].Net != "17.00" || !slices.Equal(recast.Legs, []LegView{{Debtor: "wallet", Currency: "CNY", Net: "17.00", Settled: "2.00", Due: "15.00"}}) {
		t.Errorf("%+v", recast)
	}
	p.stop()
	again := overBus(t, store, nc, t.TempDir(), registry) // its mark is lost: the streams say what they have
	until(t, "the journal to be looked through", func() bool {
		again.outbox.mu.Lock()
		defer again.outbox.mu.Unlock()
		return len(again.outbox.queue) == 0
	})
	again.stop()
	if n := len(again.stream("wallet")); n != len(want) {
		t.Errorf("told %d events after a restart, want %d", n, len(want))
	}
}

// Each role is told something of its own, in words: what happened to its money, and what
// to do. Prefunding is nobody else's.
func TestWordsOfSettlingAreForEachRole(t *testing.T) {
	seen := map[string]string{}
	for kind, roles := range map[clearing.Kind][]string{
		clearing.KindShort:        {roleDebtor, roleCreditor},
		clearing.KindCoverAsked:   {roleDebtor, rolePayer, roleCreditor, "own"},
		clearing.KindCover:        {roleDebtor, rolePayer, roleCreditor, "own"},
		clearing.KindCoverRefused: {roleDebtor, rolePayer, roleCreditor},
	} {
		for _, role := range roles {
			s := unsettled{kind: kind, debtor: "a", payer: "b", creditor: "c"}
			if role == "own" {
				s.payer, role = s.debtor, roleDebtor
			}
			money, do := s.words(role, "")
			if before := seen[money]; money == "" || do == "" || before != "" {
				t.Errorf("%s %s: %q, %q, as %s", kind, role, money, do, before)
			}
			seen[money] = kind.String() + " " + role
		}
	}
}
