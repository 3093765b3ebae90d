package sim

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// shop is a participant that asks for payments, and its link to the switch.
type shop struct {
	who  tongma.ParticipantID
	link *link
}

// till is one payment, transfer or refund as its asker sees it. An asker asks
// until it knows the end: it repeats, inquires, or reverses.
type till struct {
	h       *history
	number  int
	shop    *shop
	request tongma.Request
	of      *till // refund: of what
	wants   bool  // it to be undone
	done    bool  // knows the end
	tries   int
	alarms  int // the last timer set; older ones are void

	id       tongma.PaymentID // as it was told
	told     map[uint64][]byte
	entry    uint64 // the latest that an answer was built from
	status   tongma.Status
	finals   [4]bool // statuses that it has heard and that were final
	sent     int     // copies of the request that came to a switch
	unmoved  int     // of these, answered by an error that says that no money moved
	refunds  int64   // asked for, in minor units
	followed bool
	reversed bool // a reversal was sent
	disputed bool // by the payer's network
	shown    bool // a quote
	spends   bool // its amount is what its payer gives, of a code in another currency
}

// openTill plans a payment of a plan's kind.
func (h *history) openTill() *till {
	r := h.rand
	t := &till{h: h, number: len(h.tills), told: map[uint64][]byte{}}
	currency := tongma.CNY
	if r.IntN(4) == 0 {
		currency = tongma.USD
	}
	t.request = tongma.Request{Op: tongma.OpPay, Key: fmt.Sprintf("k%d", t.number), Amount: tongma.Money{Minor: 1 + r.Int64N(6000), Currency: currency},
		Merchant: tongma.Merchant{ID: "M1", Terminal: "T1"}, Order: fmt.Sprintf("o%d", t.number), Budget: between(r, 800*time.Millisecond, 35*time.Second)}
	switch n := r.IntN(10); {
	case n < 2:
		t.shop = h.shops[2+r.IntN(len(h.shops)-2)]
		to := acqA
		if h.market.sub && t.shop.who != subS && r.IntN(2) == 0 {
			to = subS
		}
		t.request.Op, t.request.Code = tongma.OpTransfer, h.codes[shopCode{to, currency}]
		if t.spends = h.market.dealing && t.shop.who == walX && currency == tongma.USD && t.number%2 == 0; t.spends {
			t.request.Amount.Currency = tongma.CNY
		}
	case n < 4 && h.market.sub:
		t.shop = h.shops[r.IntN(2)]
		t.request.Code = fmt.Sprintf("8801%014d", h.seed%1_000_000*1000+uint64(t.number))
	case n == 4 && h.market.sub:
		t.shop = h.shops[4]
		t.request.Code = fmt.Sprintf("13%016d", h.seed%1_000_000*1000+uint64(t.number))
	case n < 6:
		t.shop = h.shops[r.IntN(2)]
		t.request.Code = fmt.Sprintf("13%016d", h.seed%1_000_000*1000+uint64(t.number))
	default:
		t.shop = h.shops[r.IntN(2)]
		t.request.Code = fmt.Sprintf("287%015d", h.seed%1_000_000*1000+uint64(t.number))
	}
	if other := h.tills; len(other) > 0 && t.request.Op == tongma.OpPay && chance(r, h.plan.codeTwice) {
		if o := other[r.IntN(len(other))]; o.request.Op == tongma.OpPay {
			h.count(CodeTwice)
			t.request.Code = o.request.Code
		}
	}
	t.request.From = t.shop.who
	h.tills = append(h.tills, t)
	return t
}

// begin asks for the first time, or, if the plan says so, has the reversal
// overtake the payment.
func (t *till) begin() {
	h := t.h
	if t.of == nil && chance(h.rand, h.rate(h.plan.reverseFirst)) {
		h.count(ReversalFirst)
		h.tell("till %d reverses first", t.number)
		t.wants, t.tries = true, 1
		h.after(between(h.rand, 20*time.Millisecond, 20*time.Second), func() { t.send(t.request) })
		t.alarm(between(h.rand, time.Millisecond, 40*time.Millisecond))
		return
	}
	t.act()
}

// act asks whatever it has to ask next.
func (t *till) act() {
	if t.done {
		return
	}
	r := t.request
	if t.tries > 0 {
		r = t.next()
	}
	t.tries++
	t.send(r)
	t.alarm(t.patience())
}

func (t *till) patience() time.Duration {
	again := time.Second << min(t.tries, 6)
	if t.tries == 1 {
		return t.request.Budget + between(t.h.rand, 100*time.Millisecond, 3*time.Second)
	}
	return between(t.h.rand, again/2, again)
}

// next is what it asks when it was not answered, or not finally.
func (t *till) next() tongma.Request {
	h := t.h
	about := tongma.Request{From: t.shop.who, OfKey: t.request.Key, Budget: between(h.rand, time.Second, 20*time.Second)}
	if !t.id.IsZero() && h.rand.IntN(2) == 0 {
		about.OfKey, about.Original = "", t.id
	}
	if t.of == nil && !t.wants && t.tries > 2 && chance(h.rand, h.rate(0.15)) {
		t.wants = true
		h.tell("till %d wants its payment undone", t.number)
	}
	switch {
	case t.wants:
		h.count(ReversalAsked)
		t.reversed = true
		about.Op = tongma.OpReverse
		return about
	case h.rand.IntN(3) == 0:
		about.Op = tongma.OpInquire
		return about
	}
	h.count(Repeated)
	return t.request
}

func (t *till) alarm(d time.Duration) {
	t.alarms++
	n := t.alarms
	t.h.after(d, func() {
		if n == t.alarms {
			t.act()
		}
	})
}

// send puts a request on the way to the switch.
func (t *till) send(r tongma.Request) {
	t.h.tell("till %d asks %s", t.number, r.Op)
	t.h.send(t.shop.link, asking, t.h.rand, func() { t.arrive(r) })
}

// call is one request that came to a switch, and what the world was then.
type call struct {
	number uint64
	t      *till
	p      *plant
	r      tongma.Request
	least  uint64 // the latest entry of the payment in the journal then; 0: none
	known  bool   // the journal had the payment already; of a refund, what it gives back of
}

// arrive hands a request to a switch that is up; if none is, it is lost.
func (t *till) arrive(r tongma.Request) {
	h := t.h
	p := h.serving()
	if p == nil {
		h.tell("till %d: nobody serves", t.number)
		return
	}
	h.calls++
	least := h.oracle.latest(r.From, t.request.Key)
	c := &call{number: h.calls, t: t, p: p, r: r, least: least, known: least > 0 || r.Op == tongma.OpRefund}
	if r.Key != "" {
		t.sent++
	}
	ctx, cancel := context.WithCancel(context.Background())
	if chance(h.rand, h.rate(h.plan.hangUp)) {
		h.count(AskerHungUp)
		ctx, cancel = context.WithTimeout(context.Background(), between(h.rand, time.Millisecond, 10*time.Second))
	}
	h.background(func() {
		defer cancel()
		if t.wantsQuote(&r) {
			t.resolve(ctx, p, &r)
		}
		a, err := p.engine.Do(ctx, r)
		h.mu.Lock()
		durable := uint64(len(h.oracle.entries))
		dead := p.dead
		h.mu.Unlock()
		if !dead {
			h.soon(func() { c.answered(a, err, durable) }, 'c', c.number)
		}
	})
}

// answered is when the switch has given its answer. What it says must have been
// durable before: durable is how many entries were.
func (c *call) answered(a tongma.Answer, err error, durable uint64) {
	h, t := c.t.h, c.t
	if c.p.dead {
		return
	}
	if err != nil {
		h.tell("switch %d to till %d: %s: error %v", c.p.number, t.number, c.r.Op, tongma.ReasonOf(err))
		c.checkError(err)
	} else {
		h.tell("switch %d to till %d: %s: %s, %s, entry %d", c.p.number, t.number, c.r.Op, a.Status, a.Reason, a.Entry)
		c.checkAnswer(&a, durable)
	}
	h.send(t.shop.link, answering, h.stream('n', c.number), func() { t.hear(&c.r, a, err) })
}

// checkAnswer holds an answer against the journal.
func (c *call) checkAnswer(a *tongma.Answer, durable uint64) {
	h, t := c.t.h, c.t
	if a.Entry == 0 || a.Entry > durable {
		h.fail("durable", "till %d was told of entry %d while the journal had %d", t.number, a.Entry, durable)
		return
	}
	if why := h.oracle.contradicts(a, t.shop.who, t.request.Key); why != "" {
		h.fail("answer", "till %d was told %s, %s of entry %d: %s", t.number, a.Status, a.Reason, a.Entry, why)
	}
	if a.Entry < c.least && h.current(c.p) {
		h.fail("stale", "till %d was told of entry %d, the journal had %d when it asked", t.number, a.Entry, c.least)
	}
	if c.otherwise() && h.oracle.entries[a.Entry-1].Kind != clearing.KindTombstone { // that burns whatever comes
		h.fail("repeat", "the key of till %d took another amount", t.number)
	}
	text := a.AppendJSON(nil)
	if before, ok := t.told[a.Entry]; ok && !bytes.Equal(before, text) {
		h.fail("same answer", "till %d was told of entry %d first %s and then %s", t.number, a.Entry, before, text)
	}
	t.told[a.Entry] = text
}

// otherwise tells whether a call asks for another amount under the till's key.
func (c *call) otherwise() bool { return c.r.Key != "" && c.r.Amount != c.t.request.Amount }

// checkError holds an error against what may be said.
func (c *call) checkError(err error) {
	h, t := c.t.h, c.t
	reason := tongma.ReasonOf(err)
	other := c.otherwise()
	switch reason {
	case tongma.JournalStopped, tongma.JournalInDoubt, tongma.SteppedDown, tongma.ShuttingDown, tongma.Overloaded:
	case tongma.ExistsOtherAmount:
		if !other {
			h.fail("repeat", "till %d repeated its request and was told %v", t.number, reason)
		}
	case tongma.PaymentUnknown:
		if c.known && h.current(c.p) {
			h.fail("lost", "till %d asked for a payment that the journal has, and was told %v", t.number, reason)
		}
	case tongma.AlreadyRefunded:
		if c.r.Op != tongma.OpReverse || (t.refunds == 0 && !t.disputed) {
			h.fail("answer", "till %d was told %v", t.number, reason)
		}
	case tongma.DisputeOpen:
		if c.r.Op != tongma.OpReverse || !t.disputed {
			h.fail("answer", "till %d was told %v", t.number, reason)
		}
	default:
		h.fail("answer", "till %d asked %s and was told %v", t.number, c.r.Op, err)
	}
	if c.r.Key != "" && !other && reason.Info().Money == tongma.NotMoved {
		t.unmoved++
		if id, ok := h.oracle.keys[slot(t.request.From, t.request.Key)]; ok && t.unmoved == t.sent && h.oracle.payments[id].phase != clearing.KindTombstone {
			h.fail("not moved", "till %d was told %v each time, and the journal has its payment", t.number, reason)
		}
	}
}

// hear is when an answer comes to the till.
func (t *till) hear(r *tongma.Request, a tongma.Answer, err error) {
	h := t.h
	if err != nil {
		if reason := tongma.ReasonOf(err); reason == tongma.AlreadyRefunded || reason == tongma.DisputeOpen {
			t.wants = false // it knows now that the payment stands
		}
		return
	}
	if r.Amount != t.request.Amount && r.Key != "" {
		return
	}
	if t.id.IsZero() {
		t.id = a.Payment
	} else if t.id != a.Payment {
		h.fail("same payment", "till %d has been told of two payments under one key", t.number)
	}
	if a.Entry < t.entry {
		return // overtaken by a later truth
	}
	t.judge(a.Status)
	t.entry, t.status = a.Entry, a.Status
	if !a.Status.Final() || (t.wants && a.Status == tongma.Paid) {
		return
	}
	if !t.done {
		h.tell("till %d knows: %s", t.number, a.Status)
	}
	t.done = true
	t.follow()
}

// judge holds an answer against the ones before: approved may become reversed, and
// nothing else that was final may become anything.
func (t *till) judge(s tongma.Status) {
	if !s.Final() {
		if t.finals[tongma.Refused] || t.finals[tongma.ReversedBack] || (t.finals[tongma.Paid] && !t.reversed) {
			t.h.fail("final", "till %d was told %s behind a final answer", t.number, s)
		}
		return
	}
	t.finals[s] = true
	if t.finals[tongma.Refused] && (t.finals[tongma.Paid] || t.finals[tongma.ReversedBack]) {
		t.h.fail("final", "till %d was told refused, and that it was paid or reversed too", t.number)
	}
	if s == tongma.Paid && t.finals[tongma.ReversedBack] {
		t.h.fail("final", "till %d was told that a reversed payment is paid", t.number)
	}
}

// follow is what happens to a payment that has ended: refunds, a late reversal,
// repeats, a repeat with another amount.
func (t *till) follow() {
	h := t.h
	if t.followed || h.healed {
		return
	}
	t.followed = true
	if t.status == tongma.Paid && t.of == nil {
		undo := h.plan.reverse
		if chance(h.rand, h.plan.refund) {
			undo = max(undo, 0.3)
			for range 1 + h.rand.IntN(3) {
				t.refund()
			}
		}
		if h.market.disputes && chance(h.rand, h.plan.dispute) {
			h.after(t.while(2*time.Minute), func() { h.complain(t) })
		}
		if chance(h.rand, undo) {
			h.after(t.while(2*time.Minute), func() {
				if !h.healed {
					t.wants, t.done = true, false
					t.act()
				}
			})
		}
	}
	if chance(h.rand, h.plan.again) {
		h.after(between(h.rand, time.Millisecond, 10*time.Minute), func() {
			h.count(Repeated)
			t.send(t.request)
		})
	}
	if chance(h.rand, h.plan.otherwise) {
		h.count(RepeatedOtherwise)
		r := t.request
		r.Amount.Minor++
		h.after(between(h.rand, time.Millisecond, time.Minute), func() { t.send(r) })
	}
}

// refund asks for part or all of the payment back; together it may be too much.
func (t *till) refund() {
	h := t.h
	h.count(RefundAsked)
	amount := t.request.Amount
	if t.spends { // about what the shop got
		amount = tongma.Money{Minor: max(1, amount.Minor*13/100), Currency: tongma.USD}
	}
	if h.rand.IntN(3) > 0 {
		amount.Minor = 1 + h.rand.Int64N(amount.Minor)
	}
	t.refunds += amount.Minor
	back := &till{h: h, number: len(h.tills), shop: t.shop, of: t, told: map[uint64][]byte{}}
	// Only the creditor may refund: for a transfer that is the acquirer of the code.
	if t.request.Op == tongma.OpTransfer {
		back.shop = h.shops[0]
		if t.request.Code == h.codes[shopCode{subS, amount.Currency}] {
			back.shop = h.shops[4]
		}
	}
	back.request = tongma.Request{Op: tongma.OpRefund, From: back.shop.who, Key: fmt.Sprintf("r%d", back.number), Original: t.id, Amount: amount,
		Budget: between(h.rand, 500*time.Millisecond, 20*time.Second)}
	h.tills = append(h.tills, back)
	h.after(t.while(30*time.Second), back.begin)
}

// while is a time up to most, in one of two cases a very short one: things that
// come close behind each other meet.
func (t *till) while(most time.Duration) time.Duration {
	if t.h.rand.IntN(2) == 0 {
		return between(t.h.rand, time.Millisecond, 400*time.Millisecond)
	}
	return between(t.h.rand, time.Millisecond, most)
}
