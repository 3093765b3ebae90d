package sim

import (
	"fmt"
	"strings"

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
	codes    map[clearing.Digest]int64 // the day on which they were spent
	windows  []*span                   // windows[i] has id i+1
	open     int                       // payments that have not ended
	sponsors map[tongma.ParticipantID]tongma.ParticipantID
	orders   map[string]*order
	disputes map[tongma.PaymentID]*quarrel
	quarrels []*quarrel
	version  uint64          // of the directory
	quotes   map[string]bool // that were used
}

type account struct {
	who      tongma.ParticipantID // empty: the settlement account
	currency tongma.Currency
}

type standing struct {
	capped                        bool
	limit, prefund, net, reserved int64
	directed                      int64  // limit that the directory named last
	set                           uint64 // entry that set limit
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
	disputed, charged  int64
	feesBack           int64    // of charged, what fees went back with
	other              [4]int64 // the same four, of two currencies: in what the debtor paid
	fees               []clearing.Leg
	postings           []*posting
	steps              []step
}

// given is what the creditor got: what goes back is counted in it.
func (p *record) given() int64 {
	if p.first.Dealer != "" {
		return p.first.Target.Minor
	}
	return p.moved
}

// asked is the amount that its asker named, and told what the wallet was told of.
func (p *record) asked() tongma.Money {
	if f := &p.first; f.Dealer != "" && f.Op != tongma.OpRefund && !strings.HasSuffix(f.Rate, " source") {
		return f.Target
	}
	return p.first.Amount
}

func (p *record) told() tongma.Money {
	switch f := &p.first; {
	case f.Dealer == "":
		return tongma.Money{Minor: p.moved, Currency: f.Amount.Currency}
	case f.Op == tongma.OpPay:
		return f.Amount
	}
	return p.first.Target
}

func (p *record) gone() int64 { return p.refunded + p.underway + p.disputed + p.charged }

// held tells whether its amount is.
func (p *record) held() bool {
	return p.phase == clearing.KindHold || p.phase == clearing.KindPend || (p.phase == clearing.KindReversing && !p.posted)
}

func newOracle(h *history) *oracle {
	return &oracle{h: h, accounts: map[account]*standing{}, blocked: map[tongma.ParticipantID]bool{}, kept: map[tongma.ParticipantID]bool{}, payments: map[tongma.PaymentID]*record{},
		keys: map[string]tongma.PaymentID{}, codes: map[clearing.Digest]int64{},
		sponsors: map[tongma.ParticipantID]tongma.ParticipantID{}, orders: map[string]*order{}, disputes: map[tongma.PaymentID]*quarrel{}, quotes: map[string]bool{}}
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
	case clearing.KindDirectory, clearing.KindCap, clearing.KindSuspend, clearing.KindResume, clearing.KindSponsor,
		clearing.KindCapProposed, clearing.KindCapApproved, clearing.KindCapRejected, clearing.KindDeposit, clearing.KindWithdraw:
		o.ruled(e)
	case clearing.KindHold, clearing.KindRefuse, clearing.KindTombstone:
		o.asked(e)
	case clearing.KindPend, clearing.KindPost, clearing.KindVoid, clearing.KindExpire, clearing.KindReversing, clearing.KindReversed:
		o.changed(e)
	case clearing.KindOpen, clearing.KindClose, clearing.KindInstruct, clearing.KindSettle, clearing.KindSettled,
		clearing.KindShort, clearing.KindCover, clearing.KindDefer, clearing.KindRecast, clearing.KindCoverAsked, clearing.KindCoverRefused, clearing.KindWord, clearing.KindWordRejected, clearing.KindRetry:
		o.settling(e)
	case clearing.KindDispute, clearing.KindDisputeStep:
		o.quarrel(e)
	default:
		o.fail("kind", "entry %d is of kind %v, which the simulation does not know yet", e.Number, e.Kind)
	}
}

// note counts a feature if it came up.
func (o *oracle) note(f Feature, did bool) {
	if did {
		o.h.features[f]++
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
	if _, twice := o.keys[k]; twice || o.payments[e.Payment] != nil || o.disputes[e.Payment] != nil {
		o.fail("doubled", "entry %d uses key %q or payment %d again", e.Number, e.Key, name(e.Payment))
	}
	p := &record{first: *e, phase: e.Kind, steps: []step{{e.Number, e.Kind, 0}}}
	switch e.Kind {
	case clearing.KindRefuse:
		o.refused(e)
	case clearing.KindHold:
		o.granted(e, p)
	}
	o.keys[k], o.payments[e.Payment] = e.Payment, p
	o.order = append(o.order, p)
}

// most is what somebody may be held for in a currency more than it is: of its own
// account, or of that of who settles for it and of its own share in that, the less.
func (o *oracle) most(who tongma.ParticipantID, c tongma.Currency) (left int64, memo bool) {
	settler, own := o.settler(who), o.at(who, c)
	a := o.at(settler, c)
	if !own.capped || !a.capped {
		return 0, false
	}
	left = a.limit + a.prefund - a.net - a.reserved
	if settler != who {
		position, reserved := o.memo(who, c)
		if through := own.limit + own.prefund - position - reserved; through < left {
			return through, true
		}
	}
	return left, false
}

func (o *oracle) barred(who tongma.ParticipantID) bool {
	return o.blocked[who] || o.blocked[o.settler(who)]
}

// granted is a hold: it has to be allowed.
func (o *oracle) granted(e *clearing.Entry, p *record) {
	o.open++
	day := e.Time / (24 * 60 * 60 * 1000)
	spent, twice := o.codes[e.Code]
	if twice = twice && e.Code != (clearing.Digest{}) && day-spent <= 1; twice {
		o.fail("code", "entry %d: the payer's code was spent before", e.Number)
	}
	if e.Code != (clearing.Digest{}) {
		o.codes[e.Code] = day
	}
	o.note(Sponsored, o.sponsors[e.Debtor] != "" || o.sponsors[e.Creditor] != "")
	if e.Op == tongma.OpRefund {
		o.givesBack(e)
	} else if want := o.h.market.modelOf(e.Scheme, e.Amount.Currency); e.Model != want && e.Dealer == "" {
		o.fail("model", "entry %d is of model %q, payments of %s belong to %q", e.Number, e.Model, e.Scheme, want)
	}
	if e.Dealer != "" {
		o.exchanged(e)
		o.within(e, e.Dealer, e.Target)
		o.within(e, e.Debtor, e.Amount)
		o.at(o.settler(e.Dealer), e.Target.Currency).reserved += e.Target.Minor
	} else {
		o.within(e, e.Debtor, e.Amount)
	}
	o.at(o.settler(e.Debtor), e.Amount.Currency).reserved += e.Amount.Minor
}

func (o *oracle) within(e *clearing.Entry, who tongma.ParticipantID, m tongma.Money) {
	if o.barred(who) {
		o.fail("suspended", "entry %d holds of %s, who is suspended", e.Number, who)
	}
	if left, memo := o.most(who, m.Currency); m.Minor > left {
		o.fail("cap", "entry %d: %s gets %d, and has %d left (by its own share: %t)", e.Number, who, m.Minor, left, memo)
	}
}

// givesBack is the hold of a refund: there has to be something left that nobody
// else has, or claims.
func (o *oracle) givesBack(e *clearing.Entry) {
	of := o.payments[e.Original]
	if of == nil || of.phase != clearing.KindPost || of.first.Op == tongma.OpRefund || of.gone()+e.Amount.Minor > of.given() ||
		e.Debtor != of.first.Creditor || e.Creditor != of.first.Debtor || e.Model != of.first.Model {
		o.fail("refund", "entry %d gives back %d of a payment that cannot bear it", e.Number, e.Amount.Minor)
		return
	}
	of.underway += e.Amount.Minor
	of.other[1] += e.Target.Minor
	o.note(RefundAndChargeback, of.charged > 0)
}

// refused is a refusal by the books: the reason has to be true.
func (o *oracle) refused(e *clearing.Entry) {
	if e.Debtor == "" || e.Creditor == "" {
		return // it was not the books that refused
	}
	left, memo := o.most(e.Debtor, e.Amount.Currency)
	of := o.payments[e.Original]
	wrong := false
	switch e.Reason {
	case tongma.OverCap:
		wrong = e.Amount.Minor <= left && !o.h.market.dealing // of two currencies it may be the dealer
		o.note(MemoRefuses, memo)
	case tongma.ParticipantSuspended:
		wrong = !o.barred(e.Debtor) && !o.h.market.dealing
	case tongma.RefundExceeds:
		wrong = of == nil || of.refunded+of.underway+of.charged+e.Amount.Minor <= of.given()
	case tongma.DisputeOpen:
		wrong = of == nil || of.disputed == 0 || of.gone()+e.Amount.Minor <= of.given()
		o.note(DisputeBars, true)
	}
	if wrong {
		o.fail("refused", "entry %d refuses %s %d for %v, which is not so", e.Number, e.Debtor, e.Amount.Minor, e.Reason)
	}
}

// follows lists what may come behind what.
var follows = map[clearing.Kind]string{
	clearing.KindHold: "pend post void expire reversing", clearing.KindPend: "post void reversing", clearing.KindPost: "reversing", clearing.KindReversing: "reversed"}

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
	of := o.payments[f.Original]
	switch e.Kind {
	case clearing.KindPost:
		o.release(p)
		p.posted, p.moved = true, e.Amount.Minor
		if e.Amount.Currency != f.Amount.Currency || e.Amount.Minor <= 0 || e.Amount.Minor > f.Amount.Minor {
			o.fail("amount", "entry %d posts %v of a hold of %v", e.Number, e.Amount, f.Amount)
		}
		o.charged(e, p)
		o.move(e, p, false)
		o.open--
		if of != nil {
			of.underway -= f.Amount.Minor
			of.refunded += e.Amount.Minor
			of.other[1] -= f.Target.Minor
			of.other[0] += f.Target.Minor
		}
	case clearing.KindVoid, clearing.KindExpire:
		o.release(p)
		o.open--
		if of != nil {
			of.underway -= f.Amount.Minor
			of.other[1] -= f.Target.Minor
		}
		if e.KeepCode {
			delete(o.codes, f.Code)
		}
		if e.Kind == clearing.KindExpire && e.Time <= f.Expiry {
			o.fail("expiry", "entry %d drops payment %d before its time", e.Number, name(e.Payment))
		}
	case clearing.KindReversing:
		if before == clearing.KindPost {
			o.open++
		}
		if p.gone() > 0 {
			o.fail("reversal", "entry %d undoes a payment that is refunded or disputed", e.Number)
		}
	case clearing.KindReversed:
		o.open--
		if p.posted {
			o.turned(e, p)
			o.note(CrossReversed, f.Dealer != "")
			o.move(e, p, true)
		} else {
			o.release(p)
		}
	}
}

// release gives back what was held for a payment.
func (o *oracle) release(p *record) {
	f := &p.first
	o.at(o.settler(f.Debtor), f.Amount.Currency).reserved -= f.Amount.Minor
	if f.Dealer != "" {
		o.at(o.settler(f.Dealer), f.Target.Currency).reserved -= f.Target.Minor
	}
}

// move is one debit and one credit, of two currencies two of each, with their fees, in
// a window that has to be the open one of the payment's model.
func (o *oracle) move(e *clearing.Entry, p *record, back bool) {
	w, f := o.window(e.Window), &p.first
	if w == nil || w.state != clearing.KindOpen || w.model != f.Model {
		o.fail("window", "entry %d is posted into window %d, which is not the open one of %q", e.Number, e.Window, f.Model)
		return
	}
	post := func(from, to tongma.ParticipantID, m tongma.Money) {
		p.postings = append(p.postings, o.shift(w, from, to, m, p))
	}
	way := func(from, to tongma.ParticipantID, m tongma.Money) {
		if back {
			from, to = to, from
		}
		post(from, to, m)
	}
	amount := tongma.Money{Minor: p.moved, Currency: f.Amount.Currency}
	if f.Dealer != "" {
		way(f.Debtor, f.Dealer, amount)
		way(f.Dealer, f.Creditor, f.Target)
		if e.Dealer != f.Dealer || e.Target != f.Target || e.Amount != f.Amount {
			o.fail("both sides", "entry %d posts %v and %v, held were %v and %v", e.Number, e.Amount, e.Target, f.Amount, f.Target)
		}
	} else {
		way(f.Debtor, f.Creditor, amount)
	}
	for i := range e.Legs {
		post(e.Legs[i].From, e.Legs[i].To, e.Legs[i].Amount)
	}
}

// balanced checks what has to hold behind every batch.
func (o *oracle) balanced() {
	net, held := map[tongma.Currency]int64{}, map[account]int64{}
	for _, k := range o.known {
		net[k.currency] += o.accounts[k].net
	}
	for _, c := range currencies {
		if net[c] != 0 {
			o.fail("balance", "the books are out by %d %s", net[c], c.Code())
		}
	}
	for _, p := range o.order {
		if f := &p.first; p.held() {
			held[account{o.settler(f.Debtor), f.Amount.Currency}] += f.Amount.Minor
			if f.Dealer != "" {
				held[account{o.settler(f.Dealer), f.Target.Currency}] += f.Target.Minor
			}
		}
		if p.posted && p.gone() > p.given() {
			o.fail("returned twice", "of payment %d, %d posted, go back %d by refunds and %d by disputes", name(p.first.Payment), p.given(), p.refunded+p.underway, p.disputed+p.charged)
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
	case a.At != e.Time || a.Amount != p.asked():
		return "time or amount differ"
	case kind == clearing.KindPost && a.Window != window:
		return fmt.Sprintf("it is in window %d", window)
	case (kind == clearing.KindVoid || kind == clearing.KindRefuse) && a.Reason != e.Reason:
		return fmt.Sprintf("the entry says %v", e.Reason)
	}
	return ""
}
