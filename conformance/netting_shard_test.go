package conformance

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// TestTheOutsiderAgreesWithEveryShard: what three shards wrote while they paid, carried
// room, moved participants and settled together, is recomputed of each journal alone.
func TestTheOutsiderAgreesWithEveryShard(t *testing.T) {
	all := map[string]int{}
	for seed := range uint64(20) {
		shards := make([]*clerk, 3)
		for i := range shards {
			c := &clerk{Rand: rand.New(rand.NewPCG(seed, 77)), t: t, book: clearing.NewBook(), now: 1_795_305_600_000, written: map[string]int{}, serial: uint64(i) << 12}
			c.ask(clearing.Entry{Kind: clearing.KindOpen})
			c.ask(clearing.Entry{Kind: clearing.KindHome, Shard: uint16(i + 1), Shards: 3})
			for _, who := range clerkNames {
				limit := 0
				if at, _ := c.book.Home(who); int(at) == i+1 {
					limit = 5000
				}
				c.ask(clearing.Entry{Kind: clearing.KindCap, Debtor: who, Amount: yuan(limit)})
			}
			shards[i] = c
		}
		for range 200 {
			shardStep(shards, pick(shards[0], shards))
		}
		for _, c := range shards {
			c.compare(seed)
			for kind, n := range c.written {
				all[kind] += n
			}
		}
	}
	for _, kind := range []string{"carry-out", "carry-in", "gather", "claim", "home", "settled"} {
		if all[kind] < 20 {
			t.Errorf("%d of kind %s were written", all[kind], kind)
		}
	}
	t.Log(all)
}

// shardStep does one thing at random in a shard.
func shardStep(shards []*clerk, c *clerk) {
	self, _ := c.book.Shard()
	head := shards[0]
	switch n := shards[0].IntN(16); {
	case n < 6:
		e := clearing.Entry{Kind: clearing.KindHold, Payment: c.id(), Op: tongma.OpPay, Asker: c.who(), Key: c.key(), Debtor: c.who(), Creditor: c.who(), Amount: yuan(1 + c.IntN(2000))}
		if c.ask(e) {
			c.payments = append(c.payments, e.Payment)
		}
	case n < 9 && len(c.payments) > 0:
		c.ask(clearing.Entry{Kind: clearing.KindPost, Payment: pick(c, c.payments)})
	case n < 11:
		for _, a := range c.book.Astray() {
			carried(shards, c, a)
		}
	case n < 12:
		carried(shards, c, clearing.Carry{Shard: 1 + uint16(c.IntN(3)), Participant: c.who(), Amount: yuan(1 + c.IntN(900))})
	case n < 13:
		c.ask(clearing.Entry{Kind: clearing.KindClaim, Asker: c.who(), Key: c.key(), Shard: 1 + uint16(c.IntN(3))})
	case n < 14:
		who, to := c.who(), 1+uint16(c.IntN(3))
		if at, moves := c.book.Home(who); at == self && to != self && c.ask(clearing.Entry{Kind: clearing.KindHome, Debtor: who, Shard: to, Sequence: moves + 1}) {
			moved := clearing.Entry{Kind: clearing.KindHome, Debtor: who, Shard: to, Sequence: moves + 1}
			for _, m := range c.book.Moves() {
				if m.Participant == who {
					moved.Terms = m.Terms
				}
			}
			for _, other := range shards {
				other.ask(moved)
			}
		}
	case n < 15:
		head.ask(clearing.Entry{Kind: clearing.KindClose})
		for i, other := range shards[1:] {
			for _, f := range head.book.Followed(uint16(i+2), nil) {
				other.ask(f.Close)
				for linked, own := range other.book.Following() {
					s, _ := other.book.Sheet(own)
					for _, page := range clearing.Pages(s, uint16(i+2)) {
						if linked == f.Window {
							head.ask(page)
						}
					}
				}
			}
		}
	default:
		settleHead(shards, head)
	}
}

func carried(shards []*clerk, c *clerk, a clearing.Carry) {
	self, _ := c.book.Shard()
	c.ask(clearing.Entry{Kind: clearing.KindCarryOut, Debtor: a.Participant, Shard: a.Shard, Amount: a.Amount})
	to := shards[a.Shard-1]
	for _, out := range c.book.CarriesOut(a.Shard, to.book.CarriesIn(self)) {
		to.ask(clearing.Entry{Kind: clearing.KindCarryIn, Debtor: out.Participant, Shard: self, Sequence: out.Sequence, Amount: out.Amount})
	}
}

// settleHead settles what is closed in the head, and what follows it elsewhere.
func settleHead(shards []*clerk, head *clerk) {
	for _, s := range head.book.Sheets(0) {
		head.ask(clearing.Entry{Kind: clearing.KindInstruct, Window: s.Window})
		s, _ = head.book.Sheet(s.Window)
		for _, in := range clearing.Instruct(s) {
			head.ask(in.Confirm())
		}
		head.ask(clearing.Entry{Kind: clearing.KindSettled, Window: s.Window})
	}
	for i, other := range shards[1:] {
		for linked, own := range other.book.Following() {
			for _, f := range head.book.Followed(uint16(i+2), []tongma.WindowID{linked}) {
				if f.Settled {
					other.ask(clearing.Entry{Kind: clearing.KindSettled, Window: own, Linked: linked, Hash: f.Sheet})
				}
			}
		}
	}
}

func TestRecomputeNoticesShardsThatCheat(t *testing.T) {
	const head = `{"entry":1,"kind":"open","time":"t","window":1}
{"entry":2,"kind":"home","time":"t","shard":1,"shards":3}
`
	for _, tt := range []struct{ line, says string }{
		{`{"entry":3,"kind":"carry-in","time":"t","debtor":"ann","amount_minor":5,"currency":"CNY","shard":2,"sequence":2}`, "1 was due"},
		{`{"entry":3,"kind":"carry-out","time":"t","debtor":"ann","amount_minor":5,"currency":"CNY","shard":2,"sequence":1}`, "past its cap"},
		{`{"entry":3,"kind":"carry-out","time":"t","debtor":"ann","amount_minor":-5,"currency":"CNY","shard":2,"sequence":1}`, "more debt"},
		{`{"entry":3,"kind":"carry-in","time":"t","debtor":"ann","amount_minor":5,"currency":"CNY","shard":1,"sequence":1}`, "no other shard"},
		{`{"entry":3,"kind":"close","time":"t","window":1}`, "of 0 shards"},
		{`{"entry":3,"kind":"home","time":"t","shard":1,"shards":3}`, "it is 1 of 3"},
		{`{"entry":3,"kind":"home","time":"t","shard":2,"debtor":"ann","sequence":0}`, "behind move 0"},
		{`{"entry":3,"kind":"gather","time":"t","window":1,"shard":2,"sequence":1,"upto":1,"linked_window":1}`, "the window is open"},
		{"{\"entry\":3,\"kind\":\"close\",\"time\":\"t\",\"window\":1,\"shards\":3}\n{\"entry\":4,\"kind\":\"instruct\",\"time\":\"t\",\"window\":1}", "shard 2 has not handed over"},
	} {
		if _, _, err := Recompute(strings.NewReader(head + tt.line)); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.line, err, tt.says)
		}
	}
	if _, _, err := Recompute(bytes.NewReader([]byte(head))); err != nil {
		t.Error(err)
	}
}
