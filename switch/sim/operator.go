package sim

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/codespec"
	"github.com/tongma/tongma/codespec/emv"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/switch/settle"
)

// operator closes windows, has them settled, and changes the directory.
type operator struct {
	onHeal   []func()
	settling bool
	closing  bool
	acts     uint64
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
		_, err := settle.Close(ctx, p.engine.Ledger(), h.registry.Current(), "", 0, time.Now().Add(p.shift))
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

// settle has a window that is closed and not settled be settled, and comes back
// until all are.
func (h *history) settle() {
	ids, p := h.oracle.unsettled(), h.serving()
	if len(ids) == 0 || h.operator.settling {
		return
	}
	if p == nil {
		h.after(between(h.rand, time.Second, 20*time.Second), h.settle)
		return
	}
	id := ids[h.rand.IntN(len(ids))]
	h.operator.settling = true
	h.operator.acts++
	n := h.operator.acts
	how := settle.How{Retry: h.healed || h.rand.IntN(2) == 0, Steps: h.rand.IntN(4) - 1}
	h.tell("operator settles window %d at switch %d, %+v", id, p.number, how)
	h.background(func() {
		ctx, cancel := short(time.Minute)
		defer cancel()
		c := &counter{h: h, p: p, n: n}
		_, err := settle.New(settle.Options{Ledger: p.engine.Ledger(), Directory: h.registry.Current,
			Agent: func(string, tongma.Currency) settle.Agent { return c }}).Settle(ctx, id, how)
		h.soon(func() {
			h.operator.settling = false
			h.heard(p, "settle", err)
			if err != nil && !p.dead {
				h.checkOperator(p, err)
			}
			h.after(between(h.rand, time.Millisecond, 20*time.Second), h.settle)
		}, 'w', n)
	})
}

// checkOperator holds an error that the operator got against what may be said. Only
// a switch that was deposed may know less than the journal.
func (h *history) checkOperator(p *plant, err error) {
	switch reason := tongma.ReasonOf(err); reason {
	case tongma.JournalStopped, tongma.JournalInDoubt, tongma.SteppedDown, tongma.ShuttingDown, tongma.Overloaded:
	default:
		if stale := reason == tongma.WindowNotClosed || reason == tongma.WindowUnknown; stale && !h.current(p) {
			return
		}
		h.fail("operator", "%v", err)
	}
}

// prefund deposits for a participant.
func (h *history) prefund() {
	h.submit(clearing.Entry{Kind: clearing.KindDeposit, Key: fmt.Sprintf("d%d", h.operator.acts), Debtor: tongma.ParticipantID(participants[h.rand.IntN(4)]),
		Amount: tongma.Money{Minor: 1 + h.rand.Int64N(20000), Currency: tongma.CNY}})
}

// resume lets those who were short pay again, by a person's hand.
func (h *history) resume() {
	for _, who := range participants {
		if id := tongma.ParticipantID(who); h.oracle.kept[id] {
			h.submit(clearing.Entry{Kind: clearing.KindResume, Debtor: id, Maker: "ann"})
		}
	}
}

// submit writes an entry of the operator's own.
func (h *history) submit(e clearing.Entry) {
	p := h.serving()
	if p == nil {
		return
	}
	h.operator.acts++
	n := h.operator.acts
	h.background(func() {
		ctx, cancel := short(20 * time.Second)
		defer cancel()
		_, err := p.engine.Ledger().Submit(ctx, e)
		h.soon(func() { h.heard(p, e.Kind.String(), err) }, 'w', n)
	})
}

// rule is a version of the directory, adopted by whoever serves.
func (h *history) rule(m market) {
	m.rules = h.plan.rules
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
	rules     int      // of ruleTexts
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
	b.WriteString(ruleTexts[m.rules])
	return b.String()
}

// ruleTexts are what markets do when a participant cannot pay.
var ruleTexts = [...]string{"", `default_rules:
  - {currency: CNY, recast: true}
  - {currency: USD, recast: true}
`, `default_rules:
  - {currency: CNY, guarantee: {fund: acq-b, amount: "20.00"}, loss_sharing: [{participant: wal-w, weight: 2, cap: "15.00"}, {participant: acq-a, weight: 1, cap: "5.00"}], recast: true}
  - {currency: USD, loss_sharing: [{participant: wal-x, weight: 2, cap: "15.00"}, {participant: acq-b, weight: 1, cap: "50.00"}]}
`, `default_rules:
  - {currency: CNY, guarantee: {fund: acq-a, amount: "2000.00"}}
  - {currency: USD, guarantee: {fund: acq-b, amount: "10.00"}, recast: true}
`}

// firsts are the first versions of histories, by their rules.
var firsts = sync.OnceValues(func() (all [len(ruleTexts)]*schemes.Directory, err error) {
	for i := range all {
		m := wide
		m.rules = i
		if all[i], err = schemes.Parse(1, []byte(m.source())); err != nil {
			return all, err
		}
	}
	return all, nil
})

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
