package sim

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/switch/settle"
)

// agentWait is how long a switch waits for one answer of the agent.
const agentWait = 4 * time.Second

// agent is the settlement agent with its own books: it carries out each
// instruction once, however often it is told.
type agent struct {
	h      *history
	link   *link
	orders map[string]*payOrder
	list   []*payOrder
}

// payOrder is one transfer in the agent's books.
type payOrder struct {
	transfer settle.Transfer
	outcome  settle.Outcome // pending, settled, partly or rejected
	moved    int64
}

// counter is one switch's way to the agent. It implements settle.Agent.
type counter struct {
	h *history
	p *plant
	i uint64
}

// Move implements settle.Agent.
func (c *counter) Move(ctx context.Context, t settle.Transfer) settle.Word {
	return c.call(ctx, func(reply chan<- settle.Word) { c.h.agent.receive(t, reply) })
}

// Ask implements settle.Agent.
func (c *counter) Ask(ctx context.Context, t settle.Transfer) settle.Word {
	return c.call(ctx, func(reply chan<- settle.Word) {
		o := c.h.agent.orders[t.ID]
		c.h.tell("agent: asked after %.8s", t.ID)
		c.h.agent.say(o, reply)
	})
}

func (c *counter) call(ctx context.Context, deliver func(chan<- settle.Word)) settle.Word {
	h := c.h
	h.mu.Lock()
	if c.p.dead { // nothing that it still does has an effect
		h.mu.Unlock()
		return settle.Word{Err: &tongma.Error{Op: "sim", Reason: tongma.AgentSilent}}
	}
	c.i++
	s := h.stream('m', c.p.number, c.i)
	reply := make(chan settle.Word, 4)
	patience, hiccup := time.NewTimer(agentWait+between(s, 0, time.Second)), between(s, 0, grain)
	defer patience.Stop()
	h.send(h.agent.link, asking, s, func() { deliver(reply) })
	h.mu.Unlock()
	select {
	case w := <-reply:
		return w
	case <-c.p.killed:
	case <-patience.C:
	case <-ctx.Done():
		time.Sleep(hiccup)
	}
	return settle.Word{Err: &tongma.Error{Op: "sim", Reason: tongma.AgentSilent}}
}

// receive is when a transfer comes to the agent. One that is new is decided on: all
// of it, a part, nothing, or later.
func (a *agent) receive(t settle.Transfer, reply chan<- settle.Word) {
	h := a.h
	o := a.orders[t.ID]
	if o != nil {
		h.count(AgentTwice)
		h.tell("agent: told again of %.8s", t.ID)
		a.same(o, &t)
		a.say(o, reply)
		return
	}
	a.known(&t)
	o = &payOrder{transfer: t, outcome: settle.Pending}
	a.orders[t.ID] = o
	a.list = append(a.list, o)
	if chance(h.rand, h.rate(h.plan.pending)) {
		h.count(AgentPending)
		h.after(between(h.rand, time.Second, time.Minute), func() { a.decide(o) })
	} else {
		a.decide(o)
	}
	a.say(o, reply)
}

// known holds that what comes of a debit that was refused under another id was written down
// before: else nobody would know of it behind a stop. Who gives back what it was paid too
// much is short of nothing: nobody else pays for it, and it is asked each time.
func (a *agent) known(t *settle.Transfer) {
	w := a.h.oracle.window(t.Window)
	l, signed := w.leg(pair{t.Debtor, t.Creditor, t.Amount.Currency}, t.Amount.Minor)
	if t.Debtor == "" || l == nil || !l.short || w.sentAgain[t.ID] || l.net == 0 || (l.net > 0) != (signed > 0) {
		return
	}
	if _, cover := w.asked[t.ID]; !cover {
		a.h.fail("retry", "the agent is told %.8s, to collect %d of %s, which is short, and the journal does not say that it is sent again", t.ID, t.Amount.Minor, t.Debtor)
	}
}

// same holds that an id never stands for something else.
func (a *agent) same(o *payOrder, t *settle.Transfer) {
	if o.transfer.Debtor != t.Debtor || o.transfer.Creditor != t.Creditor || o.transfer.Window != t.Window || o.transfer.Amount.Currency != t.Amount.Currency {
		a.h.fail("instruction", "id %s stands for %+v and for %+v", t.ID, o.transfer.Instruction, t.Instruction)
	}
}

// byHand is what the bank did with an instruction that people gave it: it decides once.
func (a *agent) byHand(in clearing.Instruction, r *rand.Rand, refuse, part float64) *payOrder {
	a.h.mu.Lock()
	defer a.h.mu.Unlock()
	o := a.orders[in.ID]
	if o != nil {
		return o
	}
	o = &payOrder{transfer: settle.Transfer{Instruction: in}, outcome: settle.Settled, moved: in.Amount.Minor}
	switch {
	case in.Debtor != "" && chance(r, refuse):
		o.outcome, o.moved = settle.Rejected, 0
	case in.Amount.Minor > 1 && chance(r, part):
		o.moved = 1 + r.Int64N(in.Amount.Minor-1)
	}
	a.orders[in.ID] = o
	a.list = append(a.list, o)
	a.balanced(&o.transfer)
	return o
}

func (a *agent) decide(o *payOrder) {
	h, t := a.h, &o.transfer
	switch {
	case chance(h.rand, h.rate(h.plan.reject)) && a.mayRefuse(t):
		h.count(AgentRejects)
		o.outcome = settle.Rejected
	case t.Amount.Minor > 1 && chance(h.rand, h.rate(h.plan.part)):
		h.count(AgentParts)
		o.outcome, o.moved = settle.Partly, 1+h.rand.Int64N(t.Amount.Minor-1)
	default:
		o.outcome, o.moved = settle.Settled, t.Amount.Minor
	}
	h.tell("agent: %.8s of window %d, %q to %q, %s: %s %d", t.ID, t.Window, t.Debtor, t.Creditor, t.Amount, o.outcome, o.moved)
	a.balanced(t)
}

// mostRefused is how often the agent refuses the same credit: sooner or later people have
// to find out what is wrong with the account.
const mostRefused = 6

func (a *agent) mayRefuse(t *settle.Transfer) bool {
	n := 0
	for _, o := range a.list {
		if o.outcome == settle.Rejected && o.transfer.Window == t.Window && o.transfer.Creditor == t.Creditor && o.transfer.Amount == t.Amount {
			n++
		}
	}
	return t.Debtor != "" || n < mostRefused
}

// say answers with how an order stands, if the agent says anything.
func (a *agent) say(o *payOrder, reply chan<- settle.Word) {
	h := a.h
	w := settle.Word{Outcome: settle.Unheard}
	if o != nil {
		w = settle.Word{Outcome: o.outcome, Amount: tongma.Money{Minor: o.moved, Currency: o.transfer.Amount.Currency}}
	}
	if chance(h.rand, h.rate(h.plan.silent)) {
		h.count(AgentSilent)
		return
	}
	h.send(a.link, answering, h.rand, func() {
		select {
		case reply <- w:
		default:
		}
	})
}

// balanced checks that the agent never pays out of a window what it has not
// collected for it.
func (a *agent) balanced(last *settle.Transfer) {
	pot := int64(0)
	for _, o := range a.list {
		if o.transfer.Window != last.Window || o.transfer.Amount.Currency != last.Amount.Currency {
			continue
		}
		if o.transfer.Creditor == "" {
			pot += o.moved
		}
		if o.transfer.Debtor == "" {
			pot -= o.moved
		}
	}
	if pot < 0 {
		a.h.fail("debits first", "the agent has paid %d more than it collected for window %d", -pot, last.Window)
	}
}
