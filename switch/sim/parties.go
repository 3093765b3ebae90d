package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/switch/office"
)

// complaint is a dispute as its raiser sees it: it asks until it knows of it.
type complaint struct {
	request office.DisputeRequest
	of      *till
	id      tongma.PaymentID
	tries   int
}

// complain has the payer's network dispute a payment, or a part of it.
func (h *history) complain(t *till) {
	p := h.oracle.payments[t.id]
	if p == nil || h.healed {
		return
	}
	c := &complaint{of: t, request: office.DisputeRequest{Key: h.newKey(), By: p.first.Debtor, Payment: t.id, Reason: "not-received"}}
	if h.rand.IntN(2) == 0 {
		c.request.Amount = tongma.Money{Minor: 1 + h.rand.Int64N(t.request.Amount.Minor), Currency: t.request.Amount.Currency}
		if t.spends {
			c.request.Amount.Currency = tongma.USD // what the shop got, or more than that
		}
	}
	if h.rand.IntN(12) == 0 {
		c.request.By = p.first.Creditor // it may not
	}
	t.disputed = true
	h.raise(c)
}

// raise asks for the dispute, again if it is not known what came of it.
func (h *history) raise(c *complaint) {
	p := h.serving()
	var done office.DisputeDone
	h.act(p, "raise", 20*time.Second, func(ctx context.Context, p *plant) (err error) {
		done, err = p.office.Raise(ctx, c.request)
		return err
	}, func(err error) {
		switch tongma.ReasonOf(err) {
		case tongma.DisputeExceeds:
			h.features[DisputeExceeds]++
		case tongma.NoReason:
			if d := done.Dispute.ID; c.id.IsZero() {
				c.id = d
			} else if c.id != d {
				h.fail("dispute", "under one key two disputes were raised, %d and %d", name(c.id), name(d))
			}
			if h.oracle.disputes[c.id] == nil {
				h.fail("durable", "dispute %d was raised, and the journal does not know it", name(c.id))
			}
		}
		h.mayFail(p, "raise", err, tongma.NotRefundable, tongma.DisputeExceeds, tongma.DisputeLate, tongma.DisputeTurn, tongma.PaymentUnknown, tongma.AmountInvalid, tongma.ModelUnknown)
	})
	if c.tries++; c.tries < 3 && (p == nil || h.rand.IntN(3) == 0) {
		h.after(between(h.rand, time.Millisecond, time.Minute), func() { h.raise(c) })
	}
}

// quarrelOn has somebody do something about a dispute: what the rules allow, and
// sometimes what they do not.
func (h *history) quarrelOn() {
	var open []*quarrel
	for _, q := range h.oracle.quarrels {
		if !q.over {
			open = append(open, q)
		}
	}
	if len(open) == 0 {
		return
	}
	q := open[h.rand.IntN(len(open))]
	s := office.DisputeStep{Dispute: q.first.Payment}
	actions := []dispute.Action{dispute.Accept, dispute.Represent, dispute.Withdraw, dispute.PreArbitrate, dispute.Arbitrate, dispute.ProposeUphold, dispute.ProposeReject, dispute.Approve, dispute.Refuse}
	s.Action = actions[h.rand.IntN(len(actions))]
	stage, _ := dispute.ParseStage(q.stage)
	party := stage.Turn()
	if can := dispute.Moves(stage, party); len(can) > 0 && h.rand.IntN(4) > 0 {
		s.Action = can[h.rand.IntN(len(can))]
	}
	switch party {
	case dispute.Raiser:
		s.By = q.first.Debtor
	case dispute.Respondent:
		s.By = q.first.Creditor
	case dispute.Operator:
		s.Person = []string{"ann", "bob", "Ann "}[h.rand.IntN(3)]
	}
	h.twice("quarrel", func(ctx context.Context, o *office.Office) error {
		_, err := o.Step(ctx, s)
		return err
	}, tongma.DisputeTurn, tongma.DisputeLate, tongma.MakerIsChecker, tongma.TooEarly, tongma.FieldInvalid, tongma.StateConflict, tongma.DisputeUnknown)
}

// nightfall lets a day pass by the clocks of all switches.
func (h *history) nightfall() {
	h.night += 24*time.Hour + between(h.rand, 0, 4*time.Hour)
	h.tell("a night passes")
	h.features[NightPasses]++
}

// expire has the office end the disputes in which somebody let its deadline pass.
func (h *history) expire() {
	h.twice("expire", func(ctx context.Context, o *office.Office) error {
		_, err := o.ExpireDisputes(ctx)
		return err
	}, tongma.DisputeTurn, tongma.TooEarly)
}

// endQuarrels brings the disputes that are left to their ends, and tells whether there
// are any.
func (h *history) endQuarrels() bool {
	if !slices.ContainsFunc(h.oracle.quarrels, func(q *quarrel) bool { return !q.over }) {
		return false
	}
	switch h.rand.IntN(5) {
	case 0:
		h.nightfall()
	case 1:
		h.expire()
	default:
		h.quarrelOn()
	}
	return true
}

// dealer is one switch's way to who exchanges currencies. It implements
// switching.Dealer.
type dealer struct {
	h *history
	p *plant
}

// Quote implements switching.Dealer.
func (d *dealer) Quote(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	h := d.h
	h.mu.Lock()
	if d.p.dead {
		h.mu.Unlock()
		return tongma.Answer{}, unanswered(errPower)
	}
	h.asks++
	s := h.stream('Q', d.p.number, name(r.Payment), uint64(r.PayIn))
	reply := make(chan told, 4)
	hiccup := between(s, 0, grain)
	h.send(h.dealerLink, asking, s, func() {
		h.after(between(h.rand, time.Millisecond, 200*time.Millisecond), func() {
			t := told{a: h.quote(&r)}
			h.send(h.dealerLink, answering, h.rand, func() {
				select {
				case reply <- t:
				default:
				}
			})
		})
	})
	h.mu.Unlock()
	select {
	case t := <-reply:
		return t.a, t.err
	case <-d.p.killed:
		return tongma.Answer{}, unanswered(errPower)
	case <-ctx.Done():
		time.Sleep(hiccup)
		return tongma.Answer{}, unanswered(ctx.Err())
	}
}

// quote is what the dealer says: a rate of its own each time, with a name of its own;
// now and then nothing, or nonsense.
func (h *history) quote(r *tongma.Request) tongma.Answer {
	h.quoted++
	id := fmt.Sprintf("q%d", h.quoted)
	from, to, fixed, other := r.PayIn.Code(), r.Amount.Currency.Code(), "target", "source"
	if r.Exchange.Source.Minor > 0 {
		to, fixed, other = r.Exchange.Target.Currency.Code(), other, fixed
	}
	rate := fmt.Sprintf("%s/%s 0.%04d %s", from, to, 1300+h.rand.IntN(300), fixed)
	switch h.rand.IntN(16) {
	case 0:
		return tongma.Answer{Outcome: tongma.Declined, Status: tongma.Refused, Reason: tongma.NoQuote}
	case 1:
		rate = fmt.Sprintf("%s/%s 0.14 %s", from, to, other)
	case 2:
		id = fmt.Sprintf("q%d", 1+h.rand.IntN(h.quoted)) // one that it has given before
	case 3:
		rate = fmt.Sprintf("%s/%s %d.%04d %s", to, from, 6+h.rand.IntN(2), h.rand.IntN(10000), fixed)
	}
	h.quotes[id] = append(h.quotes[id], rate)
	return tongma.Answer{Outcome: tongma.Approved, Exchange: tongma.Exchange{Dealer: desk, Quote: id, Rate: rate, Expiry: time.Now().Add(h.night + h.plantShift() + between(h.rand, time.Second, time.Minute)).UnixMilli()}}
}

// plantShift is by how much the clock of the latest switch is off.
func (h *history) plantShift() time.Duration { return h.plants[len(h.plants)-1].shift }

// wantsQuote tells whether a wallet has to be shown a quote before it pays.
func (t *till) wantsQuote(r *tongma.Request) bool {
	return t.h.market.dealing && r.Op == tongma.OpTransfer && r.From == walX && (t.spends || r.Amount.Currency == tongma.USD) && r.Amount == t.request.Amount
}

// resolve has the wallet shown what its payer would pay, and keeps the quote: what it
// names once it names again.
func (t *till) resolve(ctx context.Context, p *plant, r *tongma.Request) {
	res, err := p.engine.Resolve(ctx, tongma.Request{From: r.From, Code: r.Code, Amount: r.Amount, Budget: r.Budget})
	t.h.mu.Lock()
	defer t.h.mu.Unlock()
	if !t.shown && err == nil {
		t.shown, t.request.Quote = true, res.Exchange.Quote
	}
	r.Quote = t.request.Quote
}
