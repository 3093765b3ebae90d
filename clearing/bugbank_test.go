package clearing

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/journal"
)

// A bug is one that users of another system met. It is put back around the Book
// or around the Ledger, in this test only, and has to be caught.
type bug struct {
	peer, was string // where, and what happened there
	here      string // how it is put back
	scope     string // that is searched; "" if it is one of the Ledger
	depth     int
	engine    engine
	asker     func(asker) asker // of the Ledger
	store     func(*journal.Memory) journal.Store
	caughtBy  []string // not all that catch it, but those that must
}

// changed is the sound engine with one part replaced.
func changed(set func(*engine)) engine {
	en := sound
	set(&en)
	return en
}

// at returns the payment that an entry is about, to be tampered with.
func (b *Book) at(id tongma.PaymentID) *payment {
	if i, ok := b.find(id); ok {
		return b.payments.at(i)
	}
	return &payment{}
}

// again lets a payment that came to one of its ends be ended anew by a kind of
// entry, if what release says of its hold is done first.
func again(kind Kind, of []Kind, release func(*Book, *payment)) engine {
	tampered := func(b *Book, e *Entry) bool { return e.Kind == kind && slices.Contains(of, b.at(e.Payment).phase) }
	en := changed(func(en *engine) {
		en.propose = func(b *Book, e *Entry, now int64) Verdict {
			if !tampered(b, e) {
				return b.Propose(e, now)
			}
			p := b.at(e.Payment)
			was := p.phase
			p.phase = KindHold
			v := b.Propose(e, now)
			p.phase = was
			return v
		}
		en.apply = func(b *Book, e *Entry) error {
			if tampered(b, e) {
				p := b.at(e.Payment)
				p.phase = KindHold
				release(b, p)
			}
			return b.Apply(e)
		}
	})
	en.replay = en.apply
	return en
}

// after is the sound engine, live and at a start, with a slip behind each entry
// of a kind.
func after(kind Kind, slip func(*Book, *Entry)) engine {
	en := changed(func(en *engine) {
		en.apply = func(b *Book, e *Entry) error {
			err := b.Apply(e)
			if e.Kind == kind && err == nil {
				slip(b, e)
			}
			return err
		}
	})
	en.replay = en.apply
	return en
}

// forgetting is an engine whose start loses something of each payment.
func forgetting(kind Kind, what func(*Book, *payment)) engine {
	return changed(func(en *engine) {
		en.replay = func(b *Book, e *Entry) error {
			err := b.Apply(e)
			if e.Kind == kind {
				what(b, b.at(e.Payment))
			}
			return err
		}
	})
}

var bugs = []bug{
	{peer: "Blnk #181", was: "Amounts under way did not count in the limit: six holds of 1,000 on 5,000 were granted.",
		here: "a hold is decided as if nothing were reserved", scope: "rules", depth: 3,
		engine: changed(func(en *engine) {
			en.propose = func(b *Book, e *Entry, now int64) Verdict {
				a := b.accounts[accountKey{b.numbers[string(e.Debtor)], e.Amount.Currency}]
				if e.Kind != KindHold || a == nil {
					return b.Propose(e, now)
				}
				reserved := a.reserved
				a.reserved = 0
				v := b.Propose(e, now)
				a.reserved = reserved
				return v
			}
		}), caughtBy: []string{ruleLimit, "audit: " + checkCap}},
	{peer: "Blnk #171", was: "Two partial commits of one hold both read the same amount left.",
		here: "a posting, in part or whole, is taken for a payment that is posted already", scope: "refunds", depth: 4,
		engine: again(KindPost, []Kind{KindPost}, func(b *Book, p *payment) {
			b.account(p.debtor, p.currency).reserved += p.amount
			b.open++
		}), caughtBy: []string{ruleEnd, "audit: " + checkPhase}},
	{peer: "Mojaloop #868", was: "A time-out did not release what was reserved.",
		here: "behind each expiry the amount is still reserved", scope: "payments", depth: 3,
		engine:   after(KindExpire, func(b *Book, e *Entry) { p := b.at(e.Payment); b.account(p.debtor, p.currency).reserved += p.amount }),
		caughtBy: []string{ruleReserved, ruleFigures, ruleWindUp}},
	{peer: "Mojaloop #2525", was: "A transfer was committed, but was in no settlement window.",
		here: "behind each posting its window forgets it, and it its window", scope: "payments", depth: 3,
		engine: after(KindPost, func(b *Book, e *Entry) {
			p, w := b.at(e.Payment), b.openOf(0)
			p.window = 0
			k := flowKey{p.debtor, p.creditor, p.currency}
			if w.flows[k].count--; w.flows[k].count == 0 {
				delete(w.flows, k)
				return
			}
			w.flows[k].gross -= e.Amount.Minor
		}), caughtBy: []string{ruleWindow, ruleNet, ruleFigures, ruleWindUp}},
	{peer: "Mojaloop #936", was: "A window whose net is zero could never be settled.",
		here: "a window of which no leg was due may not be settled", scope: "payments", depth: 2,
		engine: changed(func(en *engine) {
			en.propose = func(b *Book, e *Entry, now int64) Verdict {
				if w := b.window(e.Window); e.Kind == KindSettled && w != nil && len(w.legs) == 0 && !hasNet(w) {
					return Verdict{Reason: tongma.StateConflict}
				}
				return b.Propose(e, now)
			}
		}), caughtBy: []string{ruleWindUp}},
	{peer: "Mojaloop #2810", was: "Transfers that were finished timed out again, for ever.",
		here: "an expiry is taken for a payment that is void, posted or expired", scope: "payments", depth: 4,
		engine: again(KindExpire, []Kind{KindVoid, KindPost, KindExpire}, func(b *Book, p *payment) {
			b.account(p.debtor, p.currency).reserved += p.amount
			b.open++
		}), caughtBy: []string{ruleEnd, "audit: " + checkPhase}},
	{peer: "Formance #1592", was: "What was reverted was lost on restore.",
		here: "a start forgets that what is being reversed was posted", scope: "refunds", depth: 4,
		engine:   forgetting(KindReversing, func(_ *Book, p *payment) { p.posted = false }),
		caughtBy: []string{ruleReplay}},
	{peer: "Formance #1554", was: "Derived state was not rebuilt after a restore.",
		here: "a start does not add a posted refund to its original", scope: "refunds", depth: 5,
		engine:   forgetting(KindPost, func(b *Book, p *payment) { b.at(p.original).refunded = 0 }),
		caughtBy: []string{ruleReplay}},
	{peer: "Mojaloop #2105", was: "The close of a window was acknowledged before it was done.",
		here: "a close is answered at once, and submitted behind the next request", asker: func(a asker) asker { return &hasty{asker: a} },
		caughtBy: []string{ruleTold, ruleOrder}},
	{peer: "JetStream 2.12.1 (Jepsen)", was: "Writes were acknowledged before they were synced, and lost with the power.",
		here: "the store acknowledges each batch, and has it durable with the one after it", store: func(m *journal.Memory) journal.Store { return &unsynced{durable: m, Memory: journal.NewMemory()} },
		caughtBy: []string{ruleTold}},
}

func hasNet(w *window) bool {
	for _, net := range w.nets() {
		if net != 0 {
			return true
		}
	}
	return false
}

// Rules of a Ledger that loses its power, by id.
const (
	ruleTold  = "told"
	ruleOrder = "close-is-done"
)

var powerRules = []AuditCheck{
	{ruleTold, "Whatever was answered is found as it was answered, wherever the power fails."},
	{ruleOrder, "Who was told that a window is closed sees nothing posted into it."},
}

// asker is what a Ledger is to those who ask it.
type asker interface {
	Submit(ctx context.Context, e Entry) (Result, error)
	Read(ctx context.Context, see func(*Book)) error
}

// hasty answers a close before it has asked for it.
type hasty struct {
	asker
	owed *Entry
}

func (h *hasty) Submit(ctx context.Context, e Entry) (Result, error) {
	if e.Kind == KindClose {
		v := Verdict{}
		err := h.Read(ctx, func(b *Book) { v = b.Propose(&e, b.Clock()) })
		h.owed = &e
		return Result{v, &e}, err
	}
	r, err := h.asker.Submit(ctx, e)
	if h.owed != nil && err == nil {
		_, err = h.asker.Submit(ctx, Entry{Kind: KindClose})
		h.owed = nil
	}
	return r, err
}

// unsynced is a store whose last message is in memory only.
type unsynced struct {
	*journal.Memory
	durable *journal.Memory
	last    []byte
}

func (u *unsynced) Append(ctx context.Context, last uint64, message []byte) (uint64, error) {
	if u.last != nil {
		u.durable.Put(u.last)
	}
	u.last = slices.Clone(message)
	return u.Memory.Append(ctx, last, message)
}

// powerFails asks a Ledger a life's worth of requests, one behind the other, and
// cuts the power behind each answer. It returns the rules that are broken.
func powerFails(t *testing.T, wrap func(asker) asker, on func(*journal.Memory) journal.Store) map[string]string {
	disk, found := journal.NewMemory(), map[string]string{}
	l, err := OpenLedger(t.Context(), on(disk), LedgerOptions{Now: func() int64 { return startMillis }})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ask, told, closed := wrap(l), []Entry(nil), tongma.WindowID(0)
	broken := func(rule string, e *Entry) {
		if _, known := found[rule]; !known {
			found[rule] = fmt.Sprintf("the power fails behind the answer to %s", e.Kind)
		}
	}
	to := func(kind Kind, n uint64) Entry { return Entry{Kind: kind, Payment: testID(n)} }
	for _, e := range []Entry{capOf("bank-a", 100), hold(1, "bank-a", "shop-b", 40), to(KindPost, 1), hold(2, "bank-a", "shop-b", 30),
		{Kind: KindClose}, to(KindPost, 2), {Kind: KindInstruct, Window: 1}, to(KindReversing, 2), to(KindReversed, 2), {Kind: KindClose}} {
		r, err := ask.Submit(t.Context(), e)
		if err != nil || !r.Write {
			t.Fatalf("%s: written %t, %s, %v", e.Kind, r.Write, r.Reason, err)
		}
		if told = append(told, *r.Entry); e.Kind == KindClose {
			closed = r.Entry.Window
		}
		if r.Entry.Window != 0 && r.Entry.Window <= closed && (e.Kind == KindPost || e.Kind == KindReversed) {
			broken(ruleOrder, r.Entry)
		}
		durable := map[string]bool{}
		if _, err := journal.Open(t.Context(), copyOf(t, disk), 0, func(b journal.Batch) error {
			for _, data := range b.Entries {
				durable[string(data)] = true
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for i := range told {
			if !durable[string(told[i].AppendTo(nil))] {
				broken(ruleTold, &told[i])
			}
		}
	}
	return found
}

// hunt looks for a bug as the suite does, and returns each rule or check of the
// audit that caught it, with the shortest way to where it did.
func (x *bug) hunt(t *testing.T) map[string]string {
	if x.scope == "" {
		wrap, on := x.asker, x.store
		if wrap == nil {
			wrap = func(a asker) asker { return a }
		}
		if on == nil {
			on = func(m *journal.Memory) journal.Store { return m }
		}
		return powerFails(t, wrap, on)
	}
	all := scopes()
	i := slices.IndexFunc(all, func(sc scope) bool { return sc.name == x.scope })
	s := newSearch(all[i], x.engine, x.depth)
	s.run(1)
	return s.found
}

// TestBugBank: each bug of a peer that could be one of ours is caught when it is
// put back, and without it the same hunt finds nothing. docs/bugbank.md is this.
func TestBugBank(t *testing.T) {
	var table strings.Builder
	for _, x := range bugs {
		found := x.hunt(t)
		for _, must := range x.caughtBy {
			if _, ok := found[must]; !ok {
				t.Errorf("%s: %s does not catch it; caught by %v", x.peer, must, slices.Sorted(maps.Keys(found)))
			}
		}
		healthy := x
		healthy.engine, healthy.asker, healthy.store = sound, nil, nil
		if found := healthy.hunt(t); len(found) > 0 {
			t.Errorf("%s: found without the bug: %v", x.peer, found)
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s |\n", x.peer, x.was, x.here, strings.Join(slices.Sorted(maps.Keys(found)), "; "), shortest(found))
	}
	want, err := os.ReadFile(bugBankFile)
	got := bugBankHead + table.String() + rulesAsTable("The search", searchRules) + rulesAsTable("The power cut", powerRules)
	switch {
	case *update:
		if err := os.WriteFile(bugBankFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	case err != nil || got != string(want):
		t.Errorf("%s is not what was found (%v); -update writes it anew", bugBankFile, err)
	}
}

// shortest returns the shortest way to where a bug shows.
func shortest(found map[string]string) string {
	ways := slices.Collect(maps.Values(found))
	slices.SortFunc(ways, func(x, y string) int {
		return cmp.Or(cmp.Compare(strings.Count(x, ", "), strings.Count(y, ", ")), cmp.Compare(x, y))
	})
	return append(ways, "")[0]
}

func rulesAsTable(title string, rules []AuditCheck) string {
	out := "\n## " + title + "\n\n| id | rule |\n|---|---|\n"
	for _, r := range rules {
		out += "| " + r.ID + " | " + r.Rule + " |\n"
	}
	return out
}

const bugBankFile = "../docs/bugbank.md"

const bugBankHead = `# Bug bank

Written by ` + "`go test ./clearing -run TestBugBank -update`" + `; the same test compares.

Bugs that users of other systems met, and that could have been ours. Each is put back in a test, around the Book or
around the Ledger and not in the code, and then looked for as every change is: by a search of all sequences of a small
alphabet (` + "`TestEveryInterleaving`" + `), with the audit behind every state, or by cutting the power behind every answer. The
last column is the shortest sequence of requests after which it shows. Without the bug, the same hunt finds nothing.

What cannot be put back, since there is nothing to put it into: deadlocks of the time-out handler (Mojaloop #4021) and of
transfers that lock two accounts (five-bells-ledger #323), since one writer takes no locks; a window state and a
settlement state that disagree (Mojaloop #4321), since they are one.

| bug | what happened there | how it is put back | caught by | shows after |
|---|---|---|---|---|
`
