package sim

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/schemes"
)

// operator closes windows, has them settled, and changes the directory.
type operator struct {
	onHeal   []func()
	settling bool
	closing  bool
	acts     uint64
}

// agent is the settlement agent with its own books: it carries out each
// instruction once, however often it is told.
type agent struct {
	h     *history
	link  *link
	deaf  int
	moved map[string]clearing.Instruction
	order []clearing.Instruction
}

// counter is one switch's way to the agent. It implements
// switching.SettlementAgent.
type counter struct {
	h *history
	p *plant
	n uint64 // the operator's act that it is for
	i uint64
}

// Move implements switching.SettlementAgent.
func (c *counter) Move(ctx context.Context, in clearing.Instruction) error {
	h := c.h
	h.mu.Lock()
	c.i++
	s := h.stream('m', c.n, c.i)
	reply := make(chan error, 4)
	hiccup := between(s, 0, grain)
	h.send(h.agent.link, asking, s, func() { h.agent.receive(in, reply) })
	h.mu.Unlock()
	select {
	case err := <-reply:
		return err
	case <-c.p.killed:
		return errPower
	case <-ctx.Done():
		time.Sleep(hiccup)
		return &tongma.Error{Op: "sim", Reason: tongma.AgentSilent, Err: ctx.Err()}
	}
}

func (a *agent) receive(in clearing.Instruction, reply chan<- error) {
	h := a.h
	say := func(err error) {
		h.send(a.link, answering, h.rand, func() {
			select {
			case reply <- err:
			default:
			}
		})
	}
	_, again := a.moved[in.ID]
	switch {
	case again:
		h.count(AgentTwice)
		h.tell("agent: told again of %s", in.ID)
	case chance(h.rand, h.rate(h.plan.reject)):
		h.count(AgentRejects)
		h.tell("agent: rejects %s", in.ID)
		say(&tongma.Error{Op: "sim", Reason: tongma.AgentRejected})
		return
	default:
		a.moved[in.ID] = in
		a.order = append(a.order, in)
		h.tell("agent: moves %s, window %d, %s", in.ID, in.Window, in.Amount)
		a.balanced()
	}
	if chance(h.rand, h.rate(h.plan.silent)) {
		h.count(AgentSilent)
		return
	}
	say(nil)
}

// balanced checks that the agent never pays out of a window what it has not
// collected for it.
func (a *agent) balanced() {
	last := a.order[len(a.order)-1]
	pot := int64(0)
	for _, in := range a.order {
		if in.Window == last.Window && in.Amount.Currency == last.Amount.Currency {
			pot += signed(&in)
		}
	}
	if pot < 0 {
		a.h.fail("debits first", "the agent has paid %d more than it collected for window %d", -pot, last.Window)
	}
}

// signed is what an instruction brings to the settlement account.
func signed(in *clearing.Instruction) int64 {
	if in.Debit {
		return in.Amount.Minor
	}
	return -in.Amount.Minor
}

// closeWindow has the open window closed.
func (h *history) closeWindow() {
	p := h.serving()
	if p == nil || h.operator.closing {
		return
	}
	h.operator.closing = true
	h.operator.acts++
	n := h.operator.acts
	h.tell("operator closes the window at switch %d", p.number)
	h.background(func() {
		ctx, cancel := short(20 * time.Second)
		defer cancel()
		_, err := p.engine.CloseWindow(ctx, 0)
		h.soon(func() {
			h.operator.closing = false
			h.heard(p, "close", err)
			h.after(between(h.rand, time.Millisecond, time.Minute), h.settle)
		}, 'w', n)
	})
}

// heard is when the operator hears what came of an act; of a switch that died
// meanwhile, nothing.
func (h *history) heard(p *plant, act string, err error) {
	if p.dead {
		h.tell("operator: %s: switch %d is dead", act, p.number)
		return
	}
	h.tell("operator: %s at switch %d: %v", act, p.number, tongma.ReasonOf(err))
}

// settle has the first window that is closed and not settled be settled, and comes
// back until it is.
func (h *history) settle() {
	id := h.oracle.unsettled()
	p := h.serving()
	if id == 0 || h.operator.settling {
		return
	}
	if p == nil {
		h.after(between(h.rand, time.Second, 20*time.Second), h.settle)
		return
	}
	h.operator.settling = true
	h.operator.acts++
	n := h.operator.acts
	h.tell("operator settles window %d at switch %d", id, p.number)
	h.background(func() {
		ctx, cancel := short(30 * time.Second)
		defer cancel()
		_, err := p.engine.SettleWindow(ctx, id, &counter{h: h, p: p, n: n})
		h.soon(func() {
			h.operator.settling = false
			h.heard(p, "settle", err)
			h.after(between(h.rand, time.Millisecond, 20*time.Second), h.settle)
		}, 'w', n)
	})
}

// rule is a version of the directory, adopted by whoever serves.
func (h *history) rule(m market) {
	d, err := h.registry.Add([]byte(m.source()))
	if err != nil {
		h.fail("directory", "%v", err)
		return
	}
	h.tell("directory %d: %+v", d.Version(), m)
	p := h.serving()
	if p == nil || p.adopts {
		return
	}
	p.adopts = true
	h.background(func() {
		ctx, cancel := short(20 * time.Second)
		defer cancel()
		err := p.engine.Adopt(ctx, d)
		h.soon(func() {
			p.adopts = false
			h.heard(p, "adopt", err)
		}, 'r', d.Version())
	})
}

// market is what the directory's versions differ in.
type market struct {
	caps      [4]int64 // of each participant, in whole units
	suspended [4]bool
}

var wide = market{caps: [4]int64{2000, 2000, 400, 400}}

var participants = [4]string{"acq-a", "acq-b", "wal-w", "wal-x"}

const marketHead = `name: sim
rules: default
participants:
`

const marketTail = `schemes:
  - {id: wechat, name: W, participant: wal-w, countries: [CN], currencies: [CNY, USD]}
  - {id: alipay, name: X, participant: wal-x, countries: [CN], currencies: [CNY, USD], authorise_timeout: 4s, inquire_every: 2s, reverse_every: 3s, confirm_within: 30s}
  - {id: north, name: N, participant: acq-a, countries: [CN], currencies: [CNY, USD]}
`

// source is the directory's text.
func (m market) source() string {
	var b strings.Builder
	b.WriteString(marketHead)
	for i, id := range participants {
		caps := strconv.FormatInt(m.caps[i], 10)
		b.WriteString("  - {id: " + id + ", name: " + id + ", country: CN, roles: [acquirer, issuer], accepts: all, suspended: " + strconv.FormatBool(m.suspended[i]) +
			", caps: {CNY: \"" + caps + ".00\", USD: \"" + caps + ".00\"}")
		if id == "acq-a" {
			b.WriteString(`, issuer_code: "2001"`)
		}
		b.WriteString("}\n")
	}
	b.WriteString(marketTail)
	return b.String()
}

// first is the first version of every history.
var first = sync.OnceValues(func() (*schemes.Directory, error) { return schemes.Parse(1, []byte(wide.source())) })

// shopCodes are the codes of one merchant of acq-a, by currency.
var shopCodes = sync.OnceValues(func() (map[tongma.Currency]string, error) {
	account, err := codespec.UnifiedAccount{Acquirer: "2001", Merchant: "SHOP7", Till: "01"}.Account()
	if err != nil {
		return nil, err
	}
	codes := map[tongma.Currency]string{}
	for _, c := range []tongma.Currency{tongma.CNY, tongma.USD} {
		m, err := emv.Draft{Accounts: []emv.Account{account}, MCC: "5999", Currency: c.Number(), Country: "CN", Name: "SHOP", City: "TOWN"}.Build()
		if err != nil {
			return nil, err
		}
		if codes[c], err = m.Encode(); err != nil {
			return nil, err
		}
	}
	return codes, nil
})
