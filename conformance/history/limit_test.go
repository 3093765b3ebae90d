package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
)

const (
	debtors   = 2
	callers   = 8
	firstCap  = 1000
	asks      = 40 // of each caller, in one history
	histories = 60
)

// what a caller asks of one debtor's account.
type what uint8

const (
	hold what = iota
	void
	post
	look
	setCap
)

type question struct {
	what   what
	debtor int
	amount int64
}

// answer is what the caller was told. Not known: the entry may have been written,
// at any time since, or may yet be.
type answer struct {
	known    bool
	granted  bool // hold
	cap      int64
	position int64
	reserved int64
}

// account is the specification: six lines of it are the limit check.
type account struct{ cap, position, reserved int64 }

func step(s account, q question, a answer) []any {
	did := s
	switch q.what {
	case hold:
		fits := s.position+s.reserved+q.amount <= s.cap
		if did.reserved += q.amount; !fits {
			did = s
		}
		if a.known && a.granted != fits {
			return nil
		}
	case void:
		did.reserved -= q.amount
	case post:
		did.reserved, did.position = s.reserved-q.amount, s.position+q.amount
	case setCap:
		did.cap = q.amount
	case look:
		if a.known && (a.cap != s.cap || a.position != s.position || a.reserved != s.reserved) {
			return nil
		}
	}
	if !a.known {
		return []any{s, did}
	}
	return []any{did}
}

func model() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
			parts := make([][]porcupine.Operation, debtors)
			for _, o := range all {
				of := o.Input.(question).debtor
				parts[of] = append(parts[of], o)
			}
			return parts
		},
		Init: func() []any { return []any{account{cap: firstCap}} },
		Step: func(s, q, a any) []any { return step(s.(account), q.(question), a.(answer)) },
	}
	return m.ToModel()
}

// books are a Ledger on a disk that fails, and those who replace it.
type books struct {
	t     *testing.T
	store *journal.Memory
	now   atomic.Pointer[clearing.Ledger]
	clock atomic.Int64 // orders calls and returns
	ids   atomic.Uint64

	mu     sync.Mutex // guards what follows
	rng    *rand.Rand
	opened []*clearing.Ledger
	done   []porcupine.Operation
	told   []clearing.Entry // as they were returned, by those that were told a yes
	doubts map[int]written  // index in done: what would show in the journal
}

// written is an entry as far as a history tells it from others.
type written struct {
	payment tongma.PaymentID
	kind    clearing.Kind
}

func debtor(n int) tongma.ParticipantID { return tongma.ParticipantID(fmt.Sprintf("payer-%d", n)) }

func openBooks(t *testing.T, seed uint64) *books {
	b := &books{t: t, store: journal.NewMemory(), rng: rand.New(rand.NewPCG(seed, 7)), doubts: map[int]written{}}
	b.succeed()
	for n := range debtors {
		e := clearing.Entry{Kind: clearing.KindCap, Debtor: debtor(n), Amount: tongma.Money{Minor: firstCap, Currency: tongma.CNY}}
		if _, err := b.now.Load().Submit(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// succeed has another writer take over. The one before is not told.
func (b *books) succeed() {
	l, err := clearing.OpenLedger(b.t.Context(), b.store, clearing.LedgerOptions{Now: func() int64 { return 1_800_000_000_000 }, Confirm: true, CommitWithin: time.Second})
	if err != nil {
		b.t.Error(err)
		return
	}
	b.mu.Lock()
	b.opened = append(b.opened, l)
	b.mu.Unlock()
	b.now.Store(l)
}

func (b *books) draw(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rng.IntN(n)
}

// ask puts one question to whoever is the writer, and writes the answer down. A
// caller that was left in doubt returns at the end of time.
func (b *books) ask(caller int, q question, e clearing.Entry) (clearing.Result, bool) {
	called := b.clock.Add(1)
	ctx, cancel := context.WithTimeout(b.t.Context(), 2*time.Second)
	defer cancel()
	var a answer
	var res clearing.Result
	var err error
	l := b.now.Load()
	if q.what == look {
		err = l.Read(ctx, func(book *clearing.Book) {
			for _, p := range book.Positions() {
				if p.Participant == debtor(q.debtor) {
					a.cap, a.position, a.reserved = p.Cap, p.Position, p.Reserved
				}
			}
		})
	} else {
		res, err = l.Submit(ctx, e)
	}
	a.known = err == nil
	a.granted = a.known && res.Write && res.Entry.Kind == clearing.KindHold
	returned := b.clock.Add(1)
	if !a.known {
		returned = 1 << 60
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.known || q.what != look { // who looked and was not told has learnt nothing
		if !a.known && q.what != setCap {
			b.doubts[len(b.done)] = written{e.Payment, e.Kind}
		}
		b.done = append(b.done, porcupine.Operation{ClientId: caller, Input: q, Call: called, Output: a, Return: returned})
	}
	if a.known && res.Write {
		b.told = append(b.told, *res.Entry)
	}
	return res, a.known
}

// call is one caller: it holds, and voids or posts what it holds. A hold whose
// fate it does not know it leaves alone.
func (b *books) call(caller int) {
	for range asks {
		q := question{debtor: b.draw(debtors), amount: int64(50 + 10*b.draw(20))}
		money := tongma.Money{Minor: q.amount, Currency: tongma.CNY}
		switch b.draw(12) {
		case 0:
			q.what = look
			b.ask(caller, q, clearing.Entry{})
			continue
		case 1:
			q.what, q.amount = setCap, int64(600+100*b.draw(8))
			b.setCap(caller, q)
			continue
		}
		id := b.newID()
		res, known := b.ask(caller, q, clearing.Entry{Kind: clearing.KindHold, Payment: id, Op: tongma.OpPay, Asker: "shop", Key: id.String(),
			Debtor: debtor(q.debtor), Creditor: "shop", Scheme: "wallet", Amount: money})
		if !known || !res.Write || res.Entry.Kind != clearing.KindHold {
			continue
		}
		end := clearing.Entry{Kind: clearing.KindVoid, Payment: id, Reason: tongma.DoNotHonour}
		if q.what = void; b.draw(4) == 0 {
			q.what, end = post, clearing.Entry{Kind: clearing.KindPost, Payment: id}
		}
		b.ask(caller, q, end)
	}
}

func (b *books) setCap(caller int, q question) {
	b.ask(caller, q, clearing.Entry{Kind: clearing.KindCap, Debtor: debtor(q.debtor), Amount: tongma.Money{Minor: q.amount, Currency: tongma.CNY}})
}

func (b *books) newID() (id tongma.PaymentID) {
	n := b.ids.Add(1)
	for i := range 8 {
		id[15-i] = byte(n >> (8 * i))
	}
	id[0] = 1
	return id
}

// disturb fails the disk and replaces the writer, now and then, until stop.
func (b *books) disturb(stop <-chan struct{}, takeovers int) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(300+b.draw(900)) * time.Microsecond):
		}
		switch b.draw(4) {
		case 0:
			if takeovers--; takeovers >= 0 {
				b.succeed()
			}
		case 1:
			b.store.Fail(journal.LostAfter)
		case 2:
			b.store.Fail(journal.LostBefore)
		case 3:
			b.store.Fail(journal.LostLate)
		}
	}
}

func (b *books) run() {
	var all, noise sync.WaitGroup
	stop := make(chan struct{})
	noise.Go(func() { b.disturb(stop, 2) })
	for c := range callers {
		all.Go(func() { b.call(c) })
	}
	all.Wait()
	close(stop)
	noise.Wait()
	for _, l := range b.opened {
		_ = l.Close() // of a deposed one: why it ended
	}
}

// TestEveryAnswerOfTheLimitCheckHasAnOrder.
func TestEveryAnswerOfTheLimitCheckHasAnOrder(t *testing.T) {
	var asked, doubts, granted, refused, takeovers int
	for seed := range uint64(histories) {
		b := openBooks(t, seed)
		b.run()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		for _, o := range b.done {
			q, a := o.Input.(question), o.Output.(answer)
			asked++
			switch {
			case !a.known:
				doubts++
			case q.what == hold && a.granted:
				granted++
			case q.what == hold:
				refused++
			}
		}
		takeovers += len(b.opened) - 1
		b.compareWithReplay()
		if got := porcupine.CheckOperationsTimeout(model(), b.done, 30*time.Second); got != porcupine.Ok {
			t.Fatalf("seed %d: no order of events explains what the callers were told: %s", seed, got)
		}
	}
	t.Logf("%d histories, %d questions, %d left in doubt, %d holds granted, %d refused, %d take-overs", histories, asked, doubts, granted, refused, takeovers)
	if doubts == 0 || refused == 0 || takeovers == 0 {
		t.Error("the histories had no doubt, no refusal or no take-over in them")
	}
}

// compareWithReplay checks that what callers were told was written stands in the
// journal, under the number that they were told, byte for byte. It ends the doubts
// that the journal can end: what it has was done, at some time behind the question,
// and what it has not was not. A history is searched through in moments then; of a new
// cap it cannot tell which of two equal ones it has.
func (b *books) compareWithReplay() {
	stands := map[uint64]string{}
	has := map[written]bool{}
	book := clearing.NewBook()
	log, err := journal.Open(b.t.Context(), b.store, 0, func(batch journal.Batch) error {
		for i, data := range batch.Entries {
			stands[batch.First+uint64(i)] = string(data)
			e, err := clearing.ParseEntry(data)
			if err != nil {
				return err
			}
			has[written{e.Payment, e.Kind}] = true
		}
		return book.Replay(batch, nil)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	defer log.Close()
	for i := range b.told {
		e := &b.told[i]
		if stands[e.Number] != string(e.AppendTo(nil)) {
			b.t.Fatalf("a caller was told of entry %d (%s), which the journal does not have", e.Number, e.Kind)
		}
	}
	for i := len(b.done) - 1; i >= 0; i-- {
		w, doubt := b.doubts[i]
		switch refused := has[written{w.payment, clearing.KindRefuse}]; {
		case !doubt:
		case has[w]:
			b.done[i].Output = answer{known: true, granted: w.kind == clearing.KindHold}
		case w.kind == clearing.KindHold && refused:
			b.done[i].Output = answer{known: true}
		default:
			b.done = slices.Delete(b.done, i, i+1)
		}
	}
}

// TestAWrongAnswerHasNoOrder: the check can fail.
func TestAWrongAnswerHasNoOrder(t *testing.T) {
	op := func(call, ret int64, q question, a answer) porcupine.Operation {
		return porcupine.Operation{Input: q, Call: call, Output: a, Return: ret}
	}
	yes, no := answer{known: true, granted: true}, answer{known: true}
	for name, h := range map[string][]porcupine.Operation{
		"two holds that do not fit together": {op(1, 4, question{hold, 0, 600}, yes), op(2, 3, question{hold, 0, 600}, yes)},
		"a refusal though there was room":    {op(1, 2, question{hold, 0, 600}, yes), op(3, 4, question{hold, 0, 400}, no)},
		"more room than the cap":             {op(1, 2, question{hold, 0, 600}, yes), op(3, 4, question{void, 0, 600}, no), op(5, 6, question{hold, 0, 1001}, yes)},
		"an old position":                    {op(1, 2, question{hold, 0, 600}, yes), op(3, 4, question{look, 0, 0}, answer{known: true, cap: firstCap})},
	} {
		if got := porcupine.CheckOperationsTimeout(model(), h, time.Second); got != porcupine.Illegal {
			t.Errorf("%s: %s", name, got)
		}
	}
	in := []porcupine.Operation{op(1, 1<<60, question{hold, 0, 600}, answer{}), op(2, 3, question{hold, 0, 600}, yes)}
	if got := porcupine.CheckOperationsTimeout(model(), in, time.Second); got != porcupine.Ok {
		t.Errorf("a hold in doubt may not have been made: %s", got)
	}
}
