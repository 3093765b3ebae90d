package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
)

// clerk asks a Book for all sorts of things at random, and writes down what the Book
// allows, as a journal's lines.
type clerk struct {
	*rand.Rand
	t        *testing.T
	book     *clearing.Book
	now      int64
	serial   uint64
	payments []tongma.PaymentID
	disputes []tongma.PaymentID
	lines    bytes.Buffer
	written  map[string]int // by kind
}

var (
	clerkNames  = []tongma.ParticipantID{"ann", "bob", "cay", "dan", "fay"}
	clerkModels = []string{"", "pairs", "fast"}
)

// ask proposes an entry and writes it if the Book does.
func (c *clerk) ask(e clearing.Entry) bool {
	c.t.Helper()
	c.now += int64(c.IntN(2000))
	v := c.book.Propose(&e, c.now)
	if !v.Write {
		return false
	}
	if err := c.book.Apply(&e); err != nil {
		c.t.Fatalf("the Book refuses what it proposed: %v", err)
	}
	c.written[e.Kind.String()]++
	line, err := json.Marshal(clearing.NewLine(&e, 1, e.AppendTo(nil)))
	if err != nil {
		c.t.Fatal(err)
	}
	c.lines.Write(append(line, '\n'))
	return true
}

func (c *clerk) id() (id tongma.PaymentID) {
	c.serial++
	id[0], id[14], id[15] = 1, byte(c.serial>>8), byte(c.serial)
	return id
}

func (c *clerk) key() string {
	c.serial++
	return fmt.Sprint("k", c.serial)
}

func pick[T any](c *clerk, from []T) T { return from[c.IntN(len(from))] }

func (c *clerk) who() tongma.ParticipantID { return pick(c, clerkNames) }

func yuan(minor int) tongma.Money   { return tongma.Money{Minor: int64(minor), Currency: tongma.CNY} }
func dollar(minor int) tongma.Money { return tongma.Money{Minor: int64(minor), Currency: tongma.USD} }

// hold asks for a payment, now and then in two currencies.
func (c *clerk) hold() {
	e := clearing.Entry{Kind: clearing.KindHold, Payment: c.id(), Op: tongma.OpPay, Key: c.key(), Debtor: c.who(), Creditor: c.who(), Amount: yuan(1 + c.IntN(3000)),
		Model: pick(c, clerkModels), Expiry: c.now + int64(c.IntN(5000))}
	e.Asker = e.Creditor
	if c.IntN(4) == 0 { // 7.2 yuan are a dollar, cut off
		e.Dealer, e.Quote, e.Rate = "fay", c.key(), "USD/CNY 7.2 source"
		e.Target = dollar(int(e.Amount.Minor * 10 / 72))
	}
	if c.ask(e) {
		c.payments = append(c.payments, e.Payment)
	}
}

func (c *clerk) refund() {
	p, _ := c.book.Payment(pick(c, c.payments))
	got := p.Amount
	if p.Dealer != "" {
		got = p.Target
	}
	got.Minor = 1 + c.Int64N(max(1, got.Minor))
	e := clearing.Entry{Kind: clearing.KindHold, Payment: c.id(), Original: p.ID, Op: tongma.OpRefund, Asker: p.Creditor, Key: c.key(), Debtor: p.Creditor, Creditor: p.Debtor, Amount: got}
	if c.ask(e) {
		c.payments = append(c.payments, e.Payment)
	}
}

// change takes a payment on.
func (c *clerk) change() {
	p, _ := c.book.Payment(pick(c, c.payments))
	kind := pick(c, []clearing.Kind{clearing.KindPost, clearing.KindPost, clearing.KindPost, clearing.KindPend, clearing.KindVoid, clearing.KindExpire, clearing.KindReversing, clearing.KindReversed})
	e := clearing.Entry{Kind: kind, Payment: p.ID}
	if kind == clearing.KindPost && p.Op != tongma.OpRefund && c.IntN(2) == 0 {
		e.Legs = []clearing.Leg{{Kind: schemes.FeeScheme, OnRefund: schemes.OnRefund(c.IntN(2)), From: p.Creditor, To: "hub", Amount: tongma.Money{Minor: 1 + c.Int64N(40), Currency: p.Amount.Currency}}}
		if c.IntN(2) == 0 && p.Dealer == "" {
			e.Amount = tongma.Money{Minor: 1 + c.Int64N(p.Amount.Minor), Currency: p.Amount.Currency}
		}
	}
	c.ask(e)
}

func (c *clerk) rule() {
	who, key := c.who(), c.key()
	switch c.IntN(6) {
	case 0:
		c.ask(clearing.Entry{Kind: clearing.KindDeposit, Key: key, Debtor: who, Amount: yuan(1 + c.IntN(500))})
	case 1:
		c.ask(clearing.Entry{Kind: clearing.KindWithdraw, Key: key, Debtor: who, Amount: yuan(1 + c.IntN(500))})
	case 2:
		c.ask(clearing.Entry{Kind: clearing.KindCapProposed, Key: key, Debtor: who, Amount: yuan(20_000 + c.IntN(9000)), Maker: "eve"})
		c.ask(clearing.Entry{Kind: pick(c, []clearing.Kind{clearing.KindCapApproved, clearing.KindCapRejected}), Key: key, Checker: "ivy"})
	case 3:
		c.ask(clearing.Entry{Kind: clearing.KindSuspend, Debtor: who})
	case 4:
		c.ask(clearing.Entry{Kind: clearing.KindSponsor, Debtor: "dan", Creditor: pick(c, []tongma.ParticipantID{"ann", "bob", ""})})
	}
	for _, who := range clerkNames { // so that things go on
		if c.IntN(2) == 0 {
			c.ask(clearing.Entry{Kind: clearing.KindResume, Debtor: who})
		}
	}
}

// window takes some window a step on: closes it, instructs it, confirms a part of a
// leg, refuses one, covers, defers, draws the sheet up anew.
func (c *clerk) window() {
	sheets := c.book.Sheets(0)
	s := pick(c, sheets)
	if c.IntN(3) == 0 {
		c.ask(clearing.Entry{Kind: clearing.KindClose, Window: s.Window, ValueDate: uint32(20261123 * c.IntN(2)), Method: pick(c, []calendar.Model{0, calendar.Bilateral, calendar.Gross})})
		return
	}
	c.ask(clearing.Entry{Kind: clearing.KindInstruct, Window: s.Window})
	s, _ = c.book.Sheet(s.Window)
	for _, in := range clearing.Instruct(s) {
		part := in.Amount
		part.Minor = 1 + c.Int64N(part.Minor)
		switch c.IntN(11) {
		case 9, 10:
			c.tryAgain(in, part)
		case 7:
			c.askCover(&s, &in, part)
		case 8:
			word := in.Confirm()
			word.Amount, word.Hash = part, [32]byte{}
			c.twoSay(word)
		case 0:
			c.ask(in.Refuse(tongma.InsufficientFunds))
		case 1:
			c.ask(clearing.Entry{Kind: clearing.KindCover, Window: s.Window, Debtor: in.Debtor, Asker: in.Creditor, Creditor: c.who(), Amount: part, SchemeRef: c.key()})
		case 2:
			c.ask(clearing.Entry{Kind: clearing.KindCover, Window: s.Window, Debtor: in.Debtor, Asker: in.Creditor, Creditor: in.Debtor, Amount: part, SchemeRef: c.key()})
		case 3:
			in.Amount = part
			c.ask(in.Confirm())
		default:
			c.ask(in.Confirm())
		}
	}
	var held []tongma.PaymentID
	c.book.WindowPayments(s.Window, func(it clearing.WindowItem) bool {
		held = append(held, it.Payment)
		return true
	})
	for range min(len(held), c.IntN(4)) {
		c.ask(clearing.Entry{Kind: clearing.KindDefer, Window: s.Window, Payment: pick(c, held)})
	}
	if c.IntN(3) > 0 {
		c.ask(clearing.Entry{Kind: clearing.KindRecast, Window: s.Window})
	}
	c.ask(clearing.Entry{Kind: clearing.KindSettled, Window: s.Window})
}

// tryAgain has a leg refused, and sent again, and answered; or not.
func (c *clerk) tryAgain(in clearing.Instruction, part tongma.Money) {
	c.ask(in.Refuse(tongma.InsufficientFunds))
	in.ID = c.key()
	c.ask(in.Retry())
	if c.IntN(2) == 0 { // others, though it may come
		c.ask(clearing.Entry{Kind: clearing.KindCoverAsked, Window: in.Window, Debtor: in.Debtor, Asker: in.Creditor, Creditor: c.who(), Amount: part, SchemeRef: c.key()})
	}
	answer := in.Confirm()
	switch c.IntN(4) {
	case 0:
		return
	case 1:
		answer = in.Refuse(tongma.InsufficientFunds)
	case 2:
		answer.Amount = part
	}
	c.ask(answer)
}

// askCover has somebody asked for a debtor that is short, and answered; or not.
func (c *clerk) askCover(s *clearing.Sheet, in *clearing.Instruction, part tongma.Money) {
	c.ask(in.Refuse(tongma.InsufficientFunds))
	e := clearing.Entry{Kind: clearing.KindCoverAsked, Window: s.Window, Debtor: in.Debtor, Asker: in.Creditor, Creditor: c.who(), Amount: part, SchemeRef: c.key()}
	c.ask(e)
	switch c.IntN(5) {
	case 0:
		return
	case 1:
		e.Kind = clearing.KindCoverRefused
		c.twoSay(e)
	case 2, 3:
		e.Kind = clearing.KindCoverRefused
	default:
		e.Kind, e.Amount.Minor = clearing.KindCover, 1+c.Int64N(part.Minor)
	}
	c.ask(e)
}

// twoSay has two people say what the agent did; or one of them, who takes it back.
func (c *clerk) twoSay(e clearing.Entry) {
	word := e
	word.Kind, word.Maker, word.Key = clearing.KindWord, "eve", "statement 1"
	if e.Kind == clearing.KindCoverRefused {
		word.Reason = tongma.AgentRejected
	}
	c.ask(word)
	if c.IntN(3) == 0 {
		c.ask(clearing.Entry{Kind: clearing.KindWordRejected, Window: e.Window, SchemeRef: e.SchemeRef, Checker: "ivy"})
		return
	}
	e.Key, e.Checker = word.Key, "ivy"
	c.ask(e)
}

func (c *clerk) dispute() {
	if len(c.disputes) == 0 || c.IntN(3) == 0 {
		p, _ := c.book.Payment(pick(c, c.payments))
		got := p.Amount
		if p.Dealer != "" {
			got = p.Target
		}
		got.Minor = 1 + c.Int64N(max(1, got.Minor))
		e := clearing.Entry{Kind: clearing.KindDispute, Payment: c.id(), Original: p.ID, Asker: p.Debtor, Key: c.key(), Amount: got, SchemeRef: "why", Model: "disputes", Expiry: c.now + 20_000}
		if c.ask(e) {
			c.disputes = append(c.disputes, e.Payment)
		}
		return
	}
	d, _ := c.book.Dispute(pick(c, c.disputes))
	e := clearing.Entry{Kind: clearing.KindDisputeStep, Payment: d.ID, Stage: pick(c, dispute.Stages()), Asker: pick(c, []tongma.ParticipantID{d.Raiser, d.Respondent, ""}), Expiry: c.now + 20_000}
	switch e.Stage {
	case dispute.UpholdProposed, dispute.RejectProposed:
		e.Maker = pick(c, []string{"eve", "ivy"})
	case dispute.Upheld, dispute.Rejected, dispute.Arbitration:
		if e.Asker == "" {
			e.Checker = pick(c, []string{"eve", "ivy"})
		}
	}
	c.ask(e)
}

// TestTheBooksAndTheOutsiderAgree: whatever the Book writes down, the outsider's
// program reads out of it what the Book says, and finds nothing wrong with it.
func TestTheBooksAndTheOutsiderAgree(t *testing.T) {
	all := map[string]int{}
	for seed := range uint64(150) {
		c := &clerk{Rand: rand.New(rand.NewPCG(seed, 1)), t: t, book: clearing.NewBook(), now: 1_795_000_000_000, written: map[string]int{}}
		c.ask(clearing.Entry{Kind: clearing.KindOpen})
		c.ask(clearing.Entry{Kind: clearing.KindOpen, Model: "pairs", Method: calendar.Bilateral})
		c.ask(clearing.Entry{Kind: clearing.KindOpen, Model: "fast", Method: calendar.Gross})
		c.ask(clearing.Entry{Kind: clearing.KindOpen, Model: "disputes"})
		for _, who := range clerkNames {
			c.ask(clearing.Entry{Kind: clearing.KindCap, Debtor: who, Amount: yuan(20_000)})
			c.ask(clearing.Entry{Kind: clearing.KindCap, Debtor: who, Amount: dollar(5_000)})
		}
		c.ask(clearing.Entry{Kind: clearing.KindSponsor, Debtor: "dan", Creditor: "ann"})
		c.hold()
		for range 600 {
			switch n := c.IntN(20); {
			case n < 6:
				c.hold()
			case n < 13:
				c.change()
			case n < 15:
				c.refund()
			case n < 16:
				c.rule()
			case n < 18:
				c.dispute()
			default:
				c.window()
			}
		}
		c.compare(seed)
		for kind, n := range c.written {
			all[kind] += n
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if all[kind] == 0 && kind != "directory" && kind != "tombstone" && !slices.Contains([]string{"carry-out", "carry-in", "gather", "claim", "home"}, kind) { // see netting_shard_test.go
			t.Errorf("nothing of kind %s was written", kind)
		}
	}
	t.Log(all)
}

func (c *clerk) compare(seed uint64) {
	c.t.Helper()
	sheets, positions, err := Recompute(bytes.NewReader(c.lines.Bytes()))
	if err != nil {
		c.t.Fatalf("seed %d: %v", seed, err)
	}
	for _, p := range c.book.Positions() {
		want := Standing{p.Position, p.Reserved, p.Cap, p.Capped, p.Prefunded, p.Sponsor, p.MemoPosition, p.MemoReserved}
		got := positions[Account{p.Participant, p.Currency}]
		if p.Sponsor == "" {
			got.MemoPosition, got.MemoReserved = 0, 0
		}
		if got != want {
			c.t.Errorf("seed %d: %s %s: %+v, the Book says %+v", seed, p.Participant, p.Currency, got, want)
		}
	}
	books := c.book.Sheets(0)
	if len(books) != len(sheets) {
		c.t.Fatalf("seed %d: %d windows, the Book has %d", seed, len(sheets), len(books))
	}
	for i, w := range sheets {
		s := &books[i]
		if hash := fmt.Sprintf("%x", s.Hash); w.Hash != hash || w.State != s.Progress.String() || w.Model != s.Model || w.Method != s.Method.String() || len(w.Matrix) != len(s.Matrix) || len(w.Figures) != len(s.Nets) {
			c.t.Errorf("seed %d: window %d is %s %s %s %s, the Book says %s %s %s %s", seed, w.Window, w.State, w.Model, w.Method, w.Hash, s.Progress, s.Model, s.Method, hash)
		}
		count := int64(0)
		for _, o := range s.Matrix {
			if w.Matrix[Pair{o.Debtor, o.Creditor, o.Currency}] != (Cell{o.Gross, o.Count}) {
				c.t.Errorf("seed %d: window %d: %+v, the Book says %+v", seed, w.Window, w.Matrix[Pair{o.Debtor, o.Creditor, o.Currency}], o)
			}
			count += o.Count
		}
		if w.Payments != count {
			c.t.Errorf("seed %d: window %d: %d payments, the Book says %d", seed, w.Window, w.Payments, count)
		}
		for _, l := range s.Legs {
			due := w.Due[Pair{l.Debtor, l.Creditor, l.Currency}]
			if due == 0 && w.Method != gross { // there, both directions are legs
				due = -w.Due[Pair{l.Creditor, l.Debtor, l.Currency}]
			}
			if s.State == clearing.WindowInstructed && due != l.Due {
				c.t.Errorf("seed %d: window %d: %d are due, the Book says %+v", seed, w.Window, due, l)
			}
		}
	}
}
