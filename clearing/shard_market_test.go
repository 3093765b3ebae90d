package clearing

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tongma/tongma"
)

// market is several shards as one switch, without goroutines and networks: what
// coordinates them is done step by step, so that a crash may come between any two. What
// a shard has written is all that it knows behind a crash.
type market struct {
	t      testing.TB
	shards []*keeper // by number less one
	oracle *keeper   // the same market as one shard, if asked for
	spread uint16    // how many there were at first
	serial uint64
}

func newMarket(t testing.TB, shards int) *market {
	m := &market{t: t, oracle: newKeeper(), spread: uint16(shards)}
	m.oracle.must(t, Entry{Kind: KindOpen})
	for i := range shards {
		k := newKeeper()
		k.must(t, Entry{Kind: KindOpen})
		k.must(t, Entry{Kind: KindHome, Shard: uint16(i + 1), Shards: uint16(shards)})
		m.shards = append(m.shards, k)
	}
	return m
}

// grow has a shard know of one more, and join makes it one of them, with an empty journal.
func (m *market) grow(shard uint16) {
	self, count := m.at(shard).book.Shard()
	m.at(shard).submit(m.t, Entry{Kind: KindHome, Shard: self, Shards: count + 1})
}

func (m *market) join() {
	k, n := newKeeper(), uint16(len(m.shards)+1)
	k.must(m.t, Entry{Kind: KindOpen})
	k.must(m.t, Entry{Kind: KindHome, Shard: n, Shards: n, Upto: uint64(m.spread)})
	m.shards = append(m.shards, k)
}

func (m *market) at(shard uint16) *keeper { return m.shards[shard-1] }

// cap sets a cap where its participant is at home, and none anywhere else.
func (m *market) cap(who tongma.ParticipantID, minor int64) {
	for i, k := range m.shards {
		e := capOf(who, minor)
		if home, _ := k.book.Home(who); int(home) != i+1 {
			e.Amount.Minor = 0
		}
		k.submit(m.t, e)
	}
	m.oracle.submit(m.t, capOf(who, 1<<40))
}

// crash has a shard forget all but what it wrote.
func (m *market) crash(shard uint16) { m.at(shard).book = replayed(m.t, m.at(shard).written) }

func (m *market) id() tongma.PaymentID { m.serial++; return testID(m.serial) }

// pay is what the switch does with a payment that comes in at a shard: to the debtor's
// home, with the key claimed first. It returns where it was decided, and how.
func (m *market) pay(door uint16, e Entry) (uint16, Verdict) {
	at, _ := m.at(door).book.Home(e.Debtor)
	if e.Debtor == "" {
		at = OwnerOf(e.Asker, e.Key, m.spread)
	}
	for hops := 0; hops < 8; hops++ {
		if home, _ := m.at(at).book.Home(e.Debtor); e.Debtor != "" && home != at { // it is let go, or not there yet
			at = home
			continue
		}
		if owner := OwnerOf(e.Asker, e.Key, m.spread); owner != at {
			_, claim := m.at(owner).submit(m.t, Entry{Kind: KindClaim, Asker: e.Asker, Key: e.Key, Shard: at})
			if claim.Shard != at {
				v, _ := m.at(claim.Shard).submit(m.t, e)
				if v.Elsewhere != 0 { // claimed for another payer, who is not at home there
					v.Reason = tongma.ExistsOtherCode
				}
				return claim.Shard, v
			}
		}
		v, _ := m.at(at).submit(m.t, e)
		if v.Elsewhere == 0 {
			return at, v
		}
		at = v.Elsewhere
	}
	return at, Verdict{Reason: tongma.Overloaded}
}

// push takes what is on the way from one shard to another in there.
func (m *market) push(from, to uint16) {
	for _, c := range m.at(from).book.CarriesOut(to, 0) {
		m.at(to).submit(m.t, Entry{Kind: KindCarryIn, Debtor: c.Participant, Shard: from, Sequence: c.Sequence, Amount: c.Amount})
	}
}

// sweep has a shard send home what of others lies in it.
func (m *market) sweep(shard uint16) {
	for _, c := range m.at(shard).book.Astray() {
		m.at(shard).submit(m.t, Entry{Kind: KindCarryOut, Debtor: c.Participant, Shard: c.Shard, Amount: c.Amount, Upto: m.at(c.Shard).book.CarriesIn(shard)})
	}
}

// follow has a shard do what the head's windows ask of it, as far as so many steps go.
func (m *market) follow(shard uint16, steps int) {
	b := m.at(shard).book
	var linked []tongma.WindowID
	for w := range b.Following() {
		linked = append(linked, w)
	}
	for _, f := range m.at(Head).book.Followed(shard, linked) {
		if f.Settled {
			if own, ok := b.Following()[f.Window]; ok && steps > 0 {
				m.at(shard).submit(m.t, Entry{Kind: KindSettled, Window: own, Linked: f.Window, Hash: f.Sheet})
			}
			continue
		}
		if steps--; steps < 0 {
			return
		}
		_, e := m.at(shard).submit(m.t, f.Close)
		s, _ := b.Sheet(e.Window)
		for _, page := range Pages(s, shard) {
			if steps--; steps < 0 {
				return
			}
			m.at(Head).submit(m.t, page)
		}
	}
}

// move has a participant moved, as far as so many steps go.
func (m *market) move(who tongma.ParticipantID, to uint16, steps int) {
	from := uint16(0)
	for i, k := range m.shards {
		if at, moves := k.book.Home(who); int(at) == i+1 && at != to {
			from = at
			k.submit(m.t, Entry{Kind: KindHome, Debtor: who, Shard: to, Sequence: moves + 1})
		}
	}
	if from != 0 && steps > 0 {
		m.finishMoves(from, steps)
	}
}

// finishMoves goes on with what left a shard.
func (m *market) finishMoves(from uint16, steps int) {
	for _, move := range m.at(from).book.Moves() {
		if !move.Left {
			continue
		}
		if steps--; steps < 0 {
			return
		}
		m.sweep(from)
		m.push(from, move.Shard)
		if steps--; steps < 0 {
			return
		}
		home := Entry{Kind: KindHome, Debtor: move.Participant, Shard: move.Shard, Sequence: move.Moves, Terms: move.Terms}
		m.at(move.Shard).submit(m.t, home)
		for _, k := range m.shards {
			if steps--; steps < 0 {
				return
			}
			k.submit(m.t, home)
		}
	}
}

// close has the head close its window, and the oracle its own.
func (m *market) close() tongma.WindowID {
	m.oracle.submit(m.t, Entry{Kind: KindClose})
	_, e := m.at(Head).submit(m.t, Entry{Kind: KindClose})
	return e.Window
}

// settle settles a window of the head that is whole, and that of the oracle.
func (m *market) settle(w tongma.WindowID) bool {
	if v, _ := m.at(Head).submit(m.t, Entry{Kind: KindInstruct, Window: w}); v.Reason != tongma.NoReason {
		return false
	}
	m.oracle.submit(m.t, Entry{Kind: KindInstruct, Window: w})
	for _, k := range []*keeper{m.at(Head), m.oracle} {
		for range 2 {
			s, _ := k.book.Sheet(w)
			for _, in := range Instruct(s) {
				k.submit(m.t, in.Confirm())
			}
		}
		k.submit(m.t, Entry{Kind: KindSettled, Window: w})
	}
	return true
}

// quiet finishes all that is on its way.
func (m *market) quiet() {
	for range 4 {
		for s := uint16(1); int(s) <= len(m.shards); s++ {
			m.finishMoves(s, 1<<30)
			if s != Head {
				m.follow(s, 1<<30)
			}
			m.sweep(s)
			for o := uint16(1); int(o) <= len(m.shards); o++ {
				if o != s {
					m.push(s, o)
				}
			}
		}
	}
}

// audit holds every journal by itself, and all of them against each other.
func (m *market) audit() ShardsReport {
	m.t.Helper()
	var auditors []*Auditor
	for i, k := range m.shards {
		a := NewAuditor(AuditOptions{Shard: uint16(i)})
		for j := range k.written {
			a.Entry(&k.written[j])
		}
		auditors = append(auditors, a)
		sameAsAudit(m.t, a.Report(), k.book)
	}
	r := Across(auditors)
	if !r.OK {
		m.t.Fatalf("across shards: %+v", r.Findings)
	}
	return r
}

func (m *market) nets(k *keeper, w tongma.WindowID) string {
	s, _ := k.book.Sheet(w)
	return fmt.Sprint(s.Nets, s.Matrix, s.Totals)
}

// TestAMarketOfShardsIsOneMarket: whatever is paid, given back, carried, moved and closed
// in a market of several shards, and wherever one of them crashes in between, the nets
// of each window, and in the end all positions, are those of the same payments in one
// shard; each journal audits, and all of them together.
func TestAMarketOfShardsIsOneMarket(t *testing.T) {
	written, joined := map[Kind]int{}, 0
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		r := rand.New(rand.NewPCG(seed, 1))
		m := newMarket(t, 2+r.IntN(3))
		n := uint16(len(m.shards))
		names := []tongma.ParticipantID{"ann", "bob", "cay", "dan", "eve", "fay"}
		for _, who := range names {
			m.cap(who, 5_000)
		}
		anyShard := func() uint16 { return 1 + uint16(r.IntN(int(n))) }
		anyone := func() tongma.ParticipantID { return names[r.IntN(len(names))] }
		var paid []Entry
		where := map[tongma.PaymentID]uint16{}
		windows := map[tongma.WindowID]bool{}
		post := func(p Entry) {
			if v, _ := m.at(where[p.Payment]).submit(t, Entry{Kind: KindPost, Payment: p.Payment}); v.Write {
				m.oracle.must(t, p)
				m.oracle.must(t, Entry{Kind: KindPost, Payment: p.Payment})
			}
		}
		grows := r.IntN(3) * (20 + r.IntN(60)) // when another shard joins: of some markets never
		for step := range 120 {
			if step == grows && step > 0 {
				for s := uint16(1); s <= n; s++ {
					m.grow(s)
				}
				m.join()
				n++
				joined++
			}
			switch what := r.IntN(100); {
			case what < 35:
				e := hold(0, anyone(), anyone(), 1+r.Int64N(2_000))
				e.Payment, e.Key = m.id(), fmt.Sprint("k", r.IntN(60))
				if at, v := m.pay(anyShard(), e); v.Write {
					if p, ok := m.at(at).book.Payment(e.Payment); ok && p.Phase == KindHold {
						where[e.Payment] = at
						paid = append(paid, e)
					}
				}
			case what < 60 && len(paid) > 0:
				post(paid[r.IntN(len(paid))])
			case what < 63 && len(paid) > 0:
				m.at(where[paid[0].Payment]).submit(t, Entry{Kind: KindVoid, Payment: paid[0].Payment})
			case what < 68 && len(paid) > 0: // a refund, in the shard of its original; the acquirer's room is obtained
				of := paid[r.IntN(len(paid))]
				at := where[of.Payment]
				e := hold(0, of.Creditor, of.Debtor, of.Amount.Minor)
				e.Payment, e.Key, e.Op, e.Original = m.id(), fmt.Sprint("r", m.serial), tongma.OpRefund, of.Payment
				who, lacks := m.at(at).book.Lacking(e.Debtor, e.Amount)
				if home, _ := m.at(at).book.Home(who); lacks > 0 && home != at {
					m.at(home).submit(t, Entry{Kind: KindCarryOut, Debtor: who, Shard: at, Amount: tongma.Money{Minor: lacks, Currency: tongma.CNY}})
					m.push(home, at)
				}
				if owner := OwnerOf(e.Asker, e.Key, m.spread); owner != at {
					m.at(owner).submit(t, Entry{Kind: KindClaim, Asker: e.Asker, Key: e.Key, Shard: at})
				}
				if v, held := m.at(at).submit(t, e); v.Write && held.Kind == KindHold {
					where[e.Payment] = at
					post(e)
				}
			case what < 74:
				m.sweep(anyShard())
			case what < 80:
				m.push(anyShard(), 1)
				m.push(1, anyShard()%n+1)
			case what < 84:
				m.move(anyone(), anyShard(), r.IntN(5))
			case what < 87:
				m.finishMoves(anyShard(), r.IntN(6))
			case what < 90:
				// In step with the oracle: what was posted elsewhere before the head's close is
				// in the windows that follow it, if nothing is posted in between.
				w := m.close()
				for s := uint16(2); s <= n; s++ {
					m.at(s).submit(t, m.at(Head).book.Followed(s, nil)[len(m.at(Head).book.Followed(s, nil))-1].closeBehind(t, m, s))
				}
				windows[w] = true
			case what < 94:
				if s := anyShard(); s != Head {
					m.follow(s, r.IntN(8))
				}
			case what < 97:
				for w := range windows {
					m.settle(w)
				}
			default:
				m.crash(anyShard())
			}
		}
		for w := range windows {
			for s := uint16(2); s <= n; s++ {
				m.follow(s, 1<<30)
			}
			if got, want := m.nets(m.at(Head), w), m.nets(m.oracle, w); got != want {
				t.Fatalf("seed %d: %s: the head has\n%s\none shard would have\n%s", seed, w, got, want)
			}
			if !m.settle(w) {
				t.Fatalf("seed %d: %s is not whole", seed, w)
			}
		}
		m.quiet()
		report := m.audit()
		if len(report.UnderWay) > 0 {
			t.Fatalf("seed %d: %+v is on the way for good", seed, report.UnderWay)
		}
		for _, p := range report.Positions {
			who := m.oracle.book.standing(tongma.ParticipantID(p.Participant), tongma.CNY)
			if p.Position != who.position {
				t.Fatalf("seed %d: %s stands at %d in all shards, in one it would be %d", seed, p.Participant, p.Position, who.position)
			}
		}
		for i, k := range m.shards {
			for _, c := range k.book.Astray() {
				t.Fatalf("seed %d: in shard %d lies %+v", seed, i+1, c)
			}
			sameBooks(t, replayed(t, k.written), k.book)
			for j := range k.written {
				written[k.written[j].Kind]++
			}
		}
	})
	if joined == 0 {
		t.Error("no shard has joined the others")
	}
	for _, kind := range []Kind{KindCarryOut, KindCarryIn, KindGather, KindClaim, KindHome} {
		if written[kind] == 0 {
			t.Errorf("nothing of kind %s was written", kind)
		}
	}
}

// closeBehind follows all of the head's windows up to the latest.
func (f Followed) closeBehind(t testing.TB, m *market, shard uint16) Entry {
	for _, before := range m.at(Head).book.Followed(shard, nil) {
		if before.Window < f.Window {
			m.at(shard).submit(t, before.Close)
		}
	}
	return f.Close
}

// yuanOf renders minor units.
func yuanOf(minor int64) string { return tongma.Money{Minor: minor, Currency: tongma.CNY}.Decimal() }

// positionsOf says for people what somebody has, and where.
func (m *market) positionsOf(who tongma.ParticipantID) string {
	var parts []string
	for i, k := range m.shards {
		a := account{}
		if own := k.book.accounts[accountKey{k.book.numbers[string(who)], tongma.CNY}]; own != nil {
			a = *own
		}
		if a.position != 0 || a.reserved != 0 || a.cap != 0 {
			parts = append(parts, fmt.Sprintf("shard %d owes %s held %s cap %s", i+1, yuanOf(a.position), yuanOf(a.reserved), yuanOf(a.cap)))
		}
	}
	return cmp.Or(strings.Join(parts, "; "), "nothing anywhere")
}
