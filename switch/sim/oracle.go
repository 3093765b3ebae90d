package sim

import (
	"fmt"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
)

// oracle recomputes what the journal's entries add up to, with arithmetic of its
// own: plain sums over what it was shown. It reads entries with package clearing,
// and shares nothing else with it.
type oracle struct {
	h        *history
	epoch    uint64
	entries  []clearing.Entry // entries[i] has number i+1
	accounts map[account]*standing
	known    []account // in the order in which they came up: nothing here ranges over a map
	blocked  map[tongma.ParticipantID]bool
	kept     map[tongma.ParticipantID]bool // short: only a person may resume it
	payments map[tongma.PaymentID]*record
	order    []*record
	keys     map[string]tongma.PaymentID
	codes    map[clearing.Digest]bool
	windows  []*span // windows[i] has id i+1
	open     int     // payments that have not ended
}

type account struct {
	who      tongma.ParticipantID // empty: the settlement account
	currency tongma.Currency
}

type standing struct {
	capped                        bool
	limit, prefund, net, reserved int64
}

// step is one entry of a payment, and the window that it names.
type step struct {
	entry  uint64
	kind   clearing.Kind
	window tongma.WindowID
}

type record struct {
	first              clearing.Entry
	phase              clearing.Kind
	posted             bool
	moved              int64
	refunded, underway int64
	postings           []posting
	steps              []step
}

func newOracle(h *history) *oracle {
	return &oracle{h: h, accounts: map[account]*standing{}, blocked: map[tongma.ParticipantID]bool{}, kept: map[tongma.ParticipantID]bool{}, payments: map[tongma.PaymentID]*record{},
		keys: map[string]tongma.PaymentID{}, codes: map[clearing.Digest]bool{}}
}

func (o *oracle) fail(rule, format string, args ...any) { o.h.fail(rule, format, args...) }

func (o *oracle) at(who tongma.ParticipantID, c tongma.Currency) *standing {
	k := account{who, c}
	if o.accounts[k] == nil {
		o.accounts[k] = &standing{}
		o.known = append(o.known, k)
	}
	return o.accounts[k]
}

// message takes what the disk has just stored. A batch of an older epoch does not
// count.
func (o *oracle) message(seq uint64, m []byte) {
	b, err := journal.ParseBatch(m)
	if err != nil {
		o.fail("journal", "message %d: %v", seq, err)
		return
	}
	if b.Epoch < o.epoch {
		return
	}
	o.epoch = b.Epoch
	for _, data := range b.Entries {
		e, err := clearing.ParseEntry(data)
		if err != nil || e.Number != uint64(len(o.entries))+1 {
			o.fail("journal", "entry %d behind %d: %v", e.Number, len(o.entries), err)
			return
		}
		o.entries = append(o.entries, e)
		o.h.tell("  %d %s %d %s>%s %d %v w%d", e.Number, e.Kind, name(e.Payment), e.Debtor, e.Creditor, e.Amount.Minor, e.Reason, e.Window)
		o.entry(&e)
	}
	o.balanced()
}

func (o *oracle) entry(e *clearing.Entry) {
	switch e.Kind {
	case clearing.KindDirectory:
	case clearing.KindCap:
		a := o.at(e.Debtor, e.Amount.Currency)
		if a.capped && e.Amount.Minor < a.limit {
			o.h.count(CapLowered)
		}
		a.capped, a.limit = true, e.Amount.Minor
	case clearing.KindSuspend:
		o.h.count(Suspended)
		o.blocked[e.Debtor] = true
	case clearing.KindResume:
		o.h.count(Resumed)
		if o.kept[e.Debtor] && e.Maker == "" {
			o.fail("resumed", "entry %d: the directory resumes %s, who is short", e.Number, e.Debtor)
		}
		o.blocked[e.Debtor], o.kept[e.Debtor] = false, false
	case clearing.KindDeposit:
		o.h.count(Prefunded)
		o.at(e.Debtor, e.Amount.Currency).prefund += e.Amount.Minor
	case clearing.KindHold, clearing.KindRefuse, clearing.KindTombstone:
		o.asked(e)
	case clearing.KindPend, clearing.KindPost, clearing.KindVoid, clearing.KindReversing, clearing.KindReversed:
		o.changed(e)
	case clearing.KindOpen, clearing.KindClose, clearing.KindInstruct, clearing.KindSettle, clearing.KindSettled,
		clearing.KindShort, clearing.KindCover, clearing.KindDefer, clearing.KindRecast, clearing.KindCoverAsked, clearing.KindCoverRefused:
		o.settling(e)
	default:
		o.fail("kind", "entry %d is of kind %v, which the simulation does not know yet", e.Number, e.Kind)
	}
}

func slot(who tongma.ParticipantID, key string) string { return string(who) + " " + key }

// latest returns the number of a payment's latest entry; 0 if it is not there.
func (o *oracle) latest(who tongma.ParticipantID, key string) uint64 {
	if id, ok := o.keys[slot(who, key)]; ok {
		p := o.payments[id]
		return p.steps[len(p.steps)-1].entry
	}
	return 0
}

// asked is a payment's first entry.
func (o *oracle) asked(e *clearing.Entry) {
	k := slot(e.Asker, e.Key)
	if _, twice := o.keys[k]; twice || o.payments[e.Payment] != nil {
		o.fail("doubled", "entry %d uses key %q or payment %d again", e.Number, e.Key, name(e.Payment))
	}
	p := &record{first: *e, phase: e.Kind, steps: []step{{e.Number, e.Kind, 0}}}
	o.keys[k], o.payments[e.Payment] = e.Payment, p
	o.order = append(o.order, p)
	if e.Kind != clearing.KindHold {
		return
	}
	o.open++
	a := o.at(e.Debtor, e.Amount.Currency)
	switch {
	case o.blocked[e.Debtor]:
		o.fail("suspended", "entry %d holds of %s, who is suspended", e.Number, e.Debtor)
	case !a.capped || a.net+a.reserved+e.Amount.Minor > a.limit+a.prefund:
		o.fail("cap", "entry %d: %s owes %d, holds %d, and gets %d more; its cap is %d and %d", e.Number, e.Debtor, a.net, a.reserved, e.Amount.Minor, a.limit, a.prefund)
	case e.Code != clearing.Digest{} && o.codes[e.Code]:
		o.fail("code", "entry %d: the payer's code was spent before", e.Number)
	}
	if e.Code != (clearing.Digest{}) {
		o.codes[e.Code] = true
	}
	a.reserved += e.Amount.Minor
	if e.Op == tongma.OpRefund {
		of := o.payments[e.Original]
		if of == nil || of.phase != clearing.KindPost || of.refunded+of.underway+e.Amount.Minor > of.moved {
			o.fail("refund", "entry %d gives back %d of a payment that cannot bear it", e.Number, e.Amount.Minor)
			return
		}
		of.underway += e.Amount.Minor
	}
}

// follows lists what may come behind what.
var follows = map[clearing.Kind]string{
	clearing.KindHold: "pend post void reversing", clearing.KindPend: "post void reversing", clearing.KindPost: "reversing", clearing.KindReversing: "reversed"}

func may(from, to clearing.Kind) bool {
	var word string
	for rest := follows[from]; rest != ""; {
		_, _ = fmt.Sscan(rest, &word)
		if word == to.String() {
			return true
		}
		rest = rest[min(len(word)+1, len(rest)):]
	}
	return false
}

// changed is a later entry of a payment.
func (o *oracle) changed(e *clearing.Entry) {
	p := o.payments[e.Payment]
	if p == nil || !may(p.phase, e.Kind) || (p.first.Op == tongma.OpRefund && e.Kind == clearing.KindReversing) {
		o.fail("one end", "entry %d: %v of payment %d does not follow", e.Number, e.Kind, name(e.Payment))
		return
	}
	before := p.phase
	p.phase, p.steps = e.Kind, append(p.steps, step{e.Number, e.Kind, e.Window})
	f := &p.first
	held, amount := o.at(f.Debtor, f.Amount.Currency), f.Amount.Minor
	of := o.payments[f.Original]
	switch e.Kind {
	case clearing.KindPost:
		held.reserved -= amount
		p.posted, p.moved = true, e.Amount.Minor
		if e.Amount.Currency != f.Amount.Currency || e.Amount.Minor <= 0 || e.Amount.Minor > amount {
			o.fail("amount", "entry %d posts %v of a hold of %v", e.Number, e.Amount, f.Amount)
		}
		o.move(e, p, f.Debtor, f.Creditor, e.Amount.Minor)
		o.open--
		if of != nil {
			of.underway -= amount
			of.refunded += e.Amount.Minor
		}
	case clearing.KindVoid:
		held.reserved -= amount
		o.open--
		if of != nil {
			of.underway -= amount
		}
		if e.KeepCode {
			delete(o.codes, f.Code)
		}
	case clearing.KindReversing:
		if before == clearing.KindPost {
			o.open++
		}
		if p.refunded+p.underway > 0 {
			o.fail("reversal", "entry %d undoes a payment that is refunded", e.Number)
		}
	case clearing.KindReversed:
		o.open--
		if p.posted {
			o.move(e, p, f.Creditor, f.Debtor, p.moved)
		} else {
			held.reserved -= amount
		}
	}
}

// move is one debit and one credit with their fees, in a window that has to be the
// open one of the payment's model.
func (o *oracle) move(e *clearing.Entry, p *record, from, to tongma.ParticipantID, minor int64) {
	w := o.window(e.Window)
	if w == nil || w.state != clearing.KindOpen || w.model != p.first.Model {
		o.fail("window", "entry %d is posted into window %d, which is not the open one of %q", e.Number, e.Window, p.first.Model)
		return
	}
	post := func(k pair, minor int64) {
		o.shift(w, k, minor)
		p.postings = append(p.postings, posting{k, minor, w.id})
	}
	post(pair{from, to, e.Amount.Currency}, minor)
	for i := range e.Legs {
		l := &e.Legs[i]
		post(pair{l.From, l.To, l.Amount.Currency}, l.Amount.Minor)
	}
}

// balanced checks what has to hold behind every batch.
func (o *oracle) balanced() {
	var net [2]int64
	held := map[account]int64{}
	for _, k := range o.known {
		a := o.accounts[k]
		switch k.currency {
		case tongma.CNY:
			net[0] += a.net
		default:
			net[1] += a.net
		}
	}
	if net != [2]int64{} {
		o.fail("balance", "the books are out by %d and %d", net[0], net[1])
	}
	for _, p := range o.order {
		if p.phase == clearing.KindHold || p.phase == clearing.KindPend || (p.phase == clearing.KindReversing && !p.posted) {
			held[account{p.first.Debtor, p.first.Amount.Currency}] += p.first.Amount.Minor
		}
	}
	for _, k := range o.known {
		if a := o.accounts[k]; a.reserved != held[k] {
			o.fail("holds", "%s has %d reserved, its open holds are %d", k.who, a.reserved, held[k])
		}
	}
}

// standing returns how the payment stood behind an entry of its own, and in which
// window.
func (p *record) standing(entry uint64) (phase clearing.Kind, window tongma.WindowID) {
	for _, s := range p.steps {
		if s.entry > entry {
			break
		}
		if window = max(window, s.window); s.kind != clearing.KindDefer {
			phase = s.kind
		}
	}
	return phase, window
}

// contradicts says in what an answer differs from the entry that it names; "" if
// it does not.
func (o *oracle) contradicts(a *tongma.Answer, asker tongma.ParticipantID, key string) string {
	e := &o.entries[a.Entry-1]
	p := o.payments[e.Payment]
	if e.Payment != a.Payment || p == nil {
		return fmt.Sprintf("the entry is of payment %d", name(e.Payment))
	}
	if p.first.Asker != asker || p.first.Key != key {
		return "the payment has another key"
	}
	status, outcome := tongma.Refused, tongma.Declined
	kind, window := p.standing(a.Entry)
	switch kind {
	case clearing.KindHold, clearing.KindPend, clearing.KindReversing:
		status, outcome = tongma.Pending, tongma.Unknown
	case clearing.KindPost:
		status, outcome = tongma.Paid, tongma.Approved
	case clearing.KindReversed, clearing.KindTombstone:
		status = tongma.ReversedBack
	}
	switch {
	case a.Status != status || a.Outcome != outcome:
		return fmt.Sprintf("the entry is %v", kind)
	case a.At != e.Time || a.Amount != p.first.Amount:
		return "time or amount differ"
	case kind == clearing.KindPost && a.Window != window:
		return fmt.Sprintf("it is in window %d", window)
	case (kind == clearing.KindVoid || kind == clearing.KindRefuse) && a.Reason != e.Reason:
		return fmt.Sprintf("the entry says %v", e.Reason)
	}
	return ""
}
