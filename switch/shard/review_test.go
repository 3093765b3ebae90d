package shard

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
	"github.com/tongma/tongma/schemes"
	switching "github.com/tongma/tongma/switch"
)

// TestARepeatAfterAMoveHearsTheFirstAnswer, whichever shard keeps its key: the new home
// may be that itself.
func TestARepeatAfterAMoveHearsTheFirstAnswer(t *testing.T) {
	m := newMarket(t, 3)
	at := clearing.HomeOf("weibank", 3)
	to, first, owners := at%3+1, map[string]tongma.Answer{}, map[uint16]bool{}
	for i := range 12 {
		key := fmt.Sprintf("k%d", i)
		first[key] = m.mustPay(at, "weibank", key, i, 100)
		owners[clearing.OwnerOf("acq", key, 3)] = true
	}
	if r, err := m.nodes[0].Move(t.Context(), "weibank", to, false); err != nil || !r.Done || len(owners) != 3 {
		t.Fatalf("%+v %v, %d owners", r, err, len(owners))
	}
	for i := range 12 {
		key := fmt.Sprintf("k%d", i)
		for door := uint16(1); door <= 3; door++ {
			if a, err := m.pay(door, "weibank", key, i, 100); err != nil || a.Payment != first[key].Payment || a.Outcome != tongma.Approved {
				t.Errorf("%s, kept by %d, home was %d and is %d, at door %d: %v %v, %v", key, clearing.OwnerOf("acq", key, 3), at, to, door, a.Outcome, a.Reason, err)
			}
		}
	}
	m.audit()
}

// TestAKeyOfBeforeThereWereOthersIsUsed: a journal that becomes the head's has payments
// whose keys no owner knows of. Their repeats find them, and nobody pays twice.
func TestAKeyOfBeforeThereWereOthersIsUsed(t *testing.T) {
	m := newMarket(t, 3)
	m.stop(1)
	m.stores[0] = journal.NewMemory()
	d, err := schemes.Parse(1, []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	alone, err := switching.Open(t.Context(), switching.Options{Store: m.stores[0], Registry: schemes.NewMemoryRegistry(d), Digest: digest,
		Adapters: map[tongma.SchemeID]switching.Adapter{"wechat": m.wallet, "alipay": m.wallet, "unionpay": m.wallet}})
	if err != nil {
		t.Fatal(err)
	}
	banks, first := []string{"weibank", "alibank", "unibank"}, map[string]tongma.Answer{}
	m.engines[0] = alone
	for i := range 12 {
		key := fmt.Sprintf("k%d", i)
		first[key] = m.mustPay(1, banks[i%3], key, i, 100)
	}
	if err := alone.Close(); err != nil {
		t.Fatal(err)
	}
	m.start(1)
	for i := range 12 {
		key := fmt.Sprintf("k%d", i)
		for door := uint16(3); door >= 1; door-- {
			if a, err := m.pay(door, banks[i%3], key, i, 100); err != nil || a.Payment != first[key].Payment || a.Outcome != tongma.Approved || !a.Replayed {
				t.Errorf("%s, kept by %d, at door %d: %v %v %v, %v", key, clearing.OwnerOf("acq", key, 3), door, a.Payment, a.Outcome, a.Reason, err)
			}
		}
	}
	m.mustPay(2, "alibank", "new", 100, 100)
	m.audit()
}

// TestASpentCodeStaysSpentBehindAMove, and behind a second one, at every door, under any
// key; one that was given back may be used. While its old home is away, nothing is done.
func TestASpentCodeStaysSpentBehindAMove(t *testing.T) {
	m := newMarket(t, 3)
	at := clearing.HomeOf("weibank", 3)
	to := at%3 + 1
	third := to%3 + 1
	m.mustPay(1, "weibank", "first", 7, 100)
	for i, next := range []uint16{to, third} {
		if r, err := m.nodes[0].Move(t.Context(), "weibank", next, false); err != nil || !r.Done {
			t.Fatalf("%+v %v", r, err)
		}
		m.eventually("all have heard of the move", func() bool {
			for s := range m.engines {
				_, moves := uint16(0), uint64(0)
				_ = m.engines[s].Ledger().Read(t.Context(), func(b *clearing.Book) { _, moves = b.Home("weibank") })
				if moves != uint64(i+1) {
					return false
				}
			}
			return true
		})
		for door := uint16(1); door <= 3; door++ {
			key := fmt.Sprintf("again-%d-%d", i, door)
			for range 2 { // a repeat hears the same
				if a, err := m.pay(door, "weibank", key, 7, 100); err != nil || a.Outcome != tongma.Declined || a.Reason != tongma.CodeSpent {
					t.Errorf("home in %d, door %d: %v %v, %v", next, door, a.Outcome, a.Reason, err)
				}
			}
			if a := m.mustPay(door, "weibank", "first", 7, 100); !a.Replayed {
				t.Errorf("home in %d, door %d: not the first answer", next, door)
			}
		}
		m.mustPay(1, "weibank", fmt.Sprint("fresh-", i), 20+i, 100)
	}
	m.stop(at)
	key := ""
	for i := 0; key == "" || clearing.OwnerOf("acq", key, 3) == at; i++ {
		key = fmt.Sprint("away-", i)
	}
	a, err := m.pay(third, "weibank", key, 30, 100)
	if tongma.ReasonOf(err) != tongma.Overloaded {
		t.Errorf("its old home is away: %+v, %v", a, err)
	}
	m.start(at)
	m.mustPay(third, "weibank", key, 30, 100)
	m.audit()
}

// TestAKeyThatNobodyCanUseIsUsedUp: its claimant stopped before it held, and has nothing
// of this payer. The refusal says so, at every door the same; a new key pays.
func TestAKeyThatNobodyCanUseIsUsedUp(t *testing.T) {
	m := newMarket(t, 3)
	home := clearing.HomeOf("weibank", 3)
	claimant := home%3 + 1
	for i := range 9 {
		key := fmt.Sprint("k", i)
		owner := clearing.OwnerOf("acq", key, 3)
		if owner == claimant {
			continue
		}
		m.submit(owner, clearing.Entry{Kind: clearing.KindClaim, Asker: "acq", Key: key, Shard: claimant})
		for door := uint16(1); door <= 3; door++ {
			if a, err := m.pay(door, "weibank", key, i, 100); err != nil || a.Outcome != tongma.Declined || a.Reason != tongma.KeyUsedUp {
				t.Errorf("%s, kept by %d, door %d: %v %v, %v", key, owner, door, a.Outcome, a.Reason, err)
			}
		}
		m.mustPay(1, "weibank", key+"-new", i, 100)
	}
	m.audit()
}

// TestADeposedWriterAnswersNobody: it still listens, knows of nothing and refuses all that
// it hears at once, while its successor carries it out. Only the successor is heard.
func TestADeposedWriterAnswersNobody(t *testing.T) {
	m := newMarket(t, 3)
	home := clearing.HomeOf("weibank", 3)
	door := home%3 + 1
	m.mustPay(door, "weibank", "before", 1, 100)
	old, oldEngine, oldConn := m.nodes[home-1], m.engines[home-1], m.conns[home-1]
	for range cap(old.busy) {
		old.busy <- struct{}{}
	}
	m.start(home)
	m.eventually("the others have heard of the successor", func() bool { // until then "nothing was done" is true
		epoch := m.engines[home-1].Ledger().Epoch()
		return m.nodes[door-1].epochs[home].Load() == epoch && m.nodes[door%3].epochs[home].Load() == epoch
	})
	for i := range 30 {
		m.mustPay(door, "weibank", fmt.Sprint("k", i), 10+i, 100)
	}
	if a := m.mustPay(door, "weibank", "before", 1, 100); !a.Replayed {
		t.Errorf("paid again: %+v", a)
	}
	old.Stop()
	_ = oldEngine.Close()
	oldConn.Close()
	m.audit()
}

// TestForwardingGoesOnBehindATakeover: a standby takes over from a shard's writer while payments
// are sent to it from other doors, and still listens. Whoever hears "nothing was done" or
// "not known" repeats with the same key; each key is paid once, and all of them are. Only what
// was held when the writer fell, and not asked about, may be given back: one at each door.
func TestForwardingGoesOnBehindATakeover(t *testing.T) {
	m := newMarket(t, 3)
	home := clearing.HomeOf("weibank", 3)
	old, oldEngine, oldConn := m.nodes[home-1], m.engines[home-1], m.conns[home-1]
	doors := []uint16{home%3 + 1, (home+1)%3 + 1}
	const each = 150
	var wait sync.WaitGroup
	var back atomic.Int64
	for i, door := range doors {
		wait.Go(func() {
			for n := range each {
				for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
					a, err := m.pay(door, "weibank", fmt.Sprintf("k%d-%d", i, n), i*1000+n, 10)
					if err == nil && a.Outcome == tongma.Approved {
						break
					}
					if err == nil && a.Reason == tongma.ReversedBySwitch && n < each/2 {
						back.Add(1)
						break
					}
					if (err == nil && a.Outcome == tongma.Declined) || time.Now().After(end) {
						t.Errorf("door %d, payment %d: %+v, %v", door, n, a, err)
						return
					}
				}
			}
		})
	}
	time.Sleep(5 * time.Millisecond)
	m.standby = true
	m.start(home)
	wait.Wait()
	old.Stop()
	_ = oldEngine.Close()
	oldConn.Close()
	m.wallet.mu.Lock()
	paid := 0
	for _, state := range m.wallet.state {
		if state == "paid" {
			paid++
		}
	}
	m.wallet.mu.Unlock()
	if given := int(back.Load()); given > len(doors) || paid != each*len(doors)-given {
		t.Errorf("the wallet paid %d times, there are %d keys, of which %d were given back", paid, each*len(doors), given)
	}
	m.eventually("nothing is on its way", func() bool {
		lies := 0
		for _, e := range m.engines {
			_ = e.Ledger().Read(t.Context(), func(b *clearing.Book) { lies += len(b.Astray()) + m.underWay(b) })
		}
		return lies == 0
	})
	m.audit()
}

// noLedger is the books of a writer that writes nothing any more.
type noLedger struct{ Ledger }

func (noLedger) Submit(context.Context, clearing.Entry) (clearing.Result, error) {
	return clearing.Result{}, &tongma.Error{Op: "clearing.ledger", Reason: tongma.SteppedDown}
}

// TestAKeyThatWasNotWrittenDownIsNobodys: books that say nothing of a claim give no key.
func TestAKeyThatWasNotWrittenDownIsNobodys(t *testing.T) {
	n := New(Options{Self: 1, Count: 2})
	n.ledger = noLedger{}
	got, err := n.giveKey(t.Context(), keyMsg{Asker: "acq", Key: "k", Shard: 2})
	if got != nil || tongma.ReasonOf(err) != tongma.SteppedDown {
		t.Errorf("%+v, %v", got, err)
	}
}

// between is books in which something happens just before the first carry is written.
type between struct {
	Ledger
	once sync.Once
	do   func()
}

func (b *between) Submit(ctx context.Context, e clearing.Entry) (clearing.Result, error) {
	if e.Kind == clearing.KindCarryOut {
		b.once.Do(b.do)
	}
	return b.Ledger.Submit(ctx, e)
}

// TestADebtIsThereBeforeItsCap: whoever moves is let in with its cap only when what it
// owes is in, though a hold of it ends while that is being carried, or room of it came
// to its old home a moment ago.
func TestADebtIsThereBeforeItsCap(t *testing.T) {
	for _, how := range []string{"a hold ends meanwhile", "room came a moment ago"} {
		m := newMarket(t, 3)
		home := clearing.HomeOf("weibank", 3)
		to := home%3 + 1
		m.mustPay(home, "weibank", "paid", 1, 4_000)
		node, ledger := m.nodes[home-1], m.engines[home-1].Ledger()
		node.Stop() // from here on it does what it is told here
		node = New(Options{Self: home, Count: 3, Conn: m.conns[home-1]})
		node.ledger = ledger
		hold := clearing.Entry{Kind: clearing.KindHold, Op: tongma.OpPay, Payment: node.NewID(), Asker: "weibank", Key: "held", Debtor: "weibank", Creditor: "acq", Scheme: "wechat",
			Amount: tongma.Money{Minor: 3_000, Currency: tongma.CNY}}
		for i := 0; clearing.OwnerOf("weibank", hold.Key, 3) != home; i++ {
			hold.Key = fmt.Sprint("held-", i)
		}
		if res := m.submit(home, hold); !res.Write || res.Entry.Kind != clearing.KindHold {
			t.Fatalf("%+v", res)
		}
		if how == "a hold ends meanwhile" {
			node.ledger = &between{Ledger: ledger, do: func() { m.submit(home, clearing.Entry{Kind: clearing.KindVoid, Payment: hold.Payment}) }}
		} else {
			node.came["weibank"] = time.Now()
		}
		m.submit(home, clearing.Entry{Kind: clearing.KindHome, Debtor: "weibank", Shard: to, Sequence: 1})
		if err := node.finishMoves(t.Context()); err != nil {
			t.Logf("%s: not yet: %v", how, err)
		}
		_ = m.engines[to-1].Ledger().Read(t.Context(), func(b *clearing.Book) {
			for _, p := range b.Positions() {
				if p.Participant == "weibank" && p.Cap > 0 && p.Position < 4_000 {
					t.Errorf("%s: it has a cap of %d and owes %d there, 4000 in all", how, p.Cap, p.Position)
				}
			}
		})
		for range 3 { // and it arrives
			_ = node.finishMoves(t.Context())
		}
		at := uint16(0)
		_ = m.engines[to-1].Ledger().Read(t.Context(), func(b *clearing.Book) { at, _ = b.Home("weibank") })
		if at != to {
			t.Errorf("%s: it is at home in %d", how, at)
		}
		m.audit()
	}
}

// TestACapThatChangedOnTheWayIsInForce: whoever is let in brings the cap that it left
// with. If the directory has another by then, that one counts.
func TestACapThatChangedOnTheWayIsInForce(t *testing.T) {
	m := newMarket(t, 3)
	home := clearing.HomeOf("weibank", 3)
	to := home%3 + 1
	m.mustPay(home, "weibank", "paid", 1, 4_000)
	m.stop(to)
	if res := m.submit(home, clearing.Entry{Kind: clearing.KindHome, Debtor: "weibank", Shard: to, Sequence: 1}); !res.Write {
		t.Fatalf("%+v", res)
	}
	m.later = strings.Replace(source, `id: weibank, name: W, country: CN, roles: [acquirer, issuer], caps: {CNY: "100.00"}`, `id: weibank, name: W, country: CN, roles: [acquirer, issuer], caps: {CNY: "50.00"}`, 1)
	if m.later == source {
		t.Fatal("the directory is the same")
	}
	m.start(to)
	cap := func() (minor int64) {
		_ = m.engines[to-1].Ledger().Read(t.Context(), func(b *clearing.Book) {
			for _, p := range b.Positions() {
				if at, _ := b.Home("weibank"); p.Participant == "weibank" && p.Currency == tongma.CNY && at == to {
					minor = p.Cap
				}
			}
		})
		return minor
	}
	m.eventually("it has arrived, and its cap is the directory's", func() bool { return cap() == 5_000 })
	if a, err := m.pay(to, "weibank", "over", 2, 1_001); err != nil || a.Reason != tongma.OverCap {
		t.Errorf("%+v, %v", a, err)
	}
	m.audit()
}

// slowRead is books of which the first reading is told late, when something else has
// been done.
type slowRead struct {
	Ledger
	told  atomic.Bool
	while func()
}

func (s *slowRead) Read(ctx context.Context, see func(*clearing.Book)) error {
	err := s.Ledger.Read(ctx, see)
	if !s.told.Swap(true) {
		s.while()
	}
	return err
}

// TestWhatIsKnownOfHomesIsTheLatest, though it is read twice at once, and the earlier
// reading ends last: else requests of who has moved would go to and fro for ever.
func TestWhatIsKnownOfHomesIsTheLatest(t *testing.T) {
	m := newMarket(t, 3)
	home := clearing.HomeOf("weibank", 3)
	to := home%3 + 1
	n := New(Options{Self: home, Count: 3, Conn: m.conns[home-1]})
	later := make(chan error, 1)
	n.ledger = &slowRead{Ledger: m.engines[home-1].Ledger(), while: func() {
		m.submit(home, clearing.Entry{Kind: clearing.KindHome, Debtor: "weibank", Shard: to, Sequence: 1})
		go func() { later <- n.learnHomes(t.Context()) }()
		time.Sleep(100 * time.Millisecond)
	}}
	if err := n.learnHomes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-later; err != nil {
		t.Fatal(err)
	}
	if at := n.homeOf("weibank"); at != to {
		t.Errorf("it is taken to be at home in %d, the books say %d", at, to)
	}
}

// TestACapOfTwoPeopleMovesAlong: the directory's same figure does not end it where it
// comes.
func TestACapOfTwoPeopleMovesAlong(t *testing.T) {
	m := newMarket(t, 3)
	home := clearing.HomeOf("weibank", 3)
	m.submit(home, clearing.Entry{Kind: clearing.KindCapProposed, Key: "c1", Maker: "ann", Debtor: "weibank", Amount: tongma.Money{Minor: 20_000, Currency: tongma.CNY}})
	if res := m.submit(home, clearing.Entry{Kind: clearing.KindCapApproved, Key: "c1", Checker: "ben"}); res.Reason != tongma.NoReason {
		t.Fatal(res.Reason)
	}
	for _, to := range []uint16{home%3 + 1, (home+1)%3 + 1, home} {
		if r, err := m.nodes[0].Move(t.Context(), "weibank", to, false); err != nil || !r.Done {
			t.Fatalf("%+v, %v", r, err)
		}
		time.Sleep(50 * time.Millisecond) // what an arrival does behind it is done
		_ = m.engines[to-1].Ledger().Read(t.Context(), func(b *clearing.Book) {
			for _, p := range b.Positions() {
				if p.Participant == "weibank" && p.Currency == tongma.CNY && p.Cap != 20_000 {
					t.Errorf("in shard %d its cap is %d", to, p.Cap)
				}
			}
		})
	}
	m.audit()
}
