package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes/calendar"
)

// pair is one direction between two in one currency. An empty name is the
// settlement account.
type pair struct {
	from, to tongma.ParticipantID
	currency tongma.Currency
}

func (p pair) turned() pair { return pair{p.to, p.from, p.currency} }

// span is a clearing window: what was posted into it, and what of that is paid.
type span struct {
	id        tongma.WindowID
	model     string
	method    calendar.Model
	state     clearing.Kind // open, close, instruct, settled
	recasting bool
	flows     map[pair]int64
	seen      []pair // keys of flows, in the order in which they came up
	legs      map[pair]*leg
	order     []pair                    // keys of legs
	cash      map[account]int64         // what each has paid in by the agent's word
	moves     []*posting                // what stands in it, in the order in which it came
	left      []*posting                // out of it since the last sheet
	asked     map[string]clearing.Entry // covers that have no answer yet, by the instruction's id
	words     map[string]clearing.Entry // what one person has said, by the instruction's id
	again     map[string]again          // what was sent again and has no end yet, by the instruction's id
	sentAgain map[string]bool           // all that ever was
}

// again is an instruction that was refused and sent again, and in which epoch.
type again struct {
	entry clearing.Entry
	epoch uint64
}

// leg is what one has to pay another for the window: less than zero is the other
// way round.
type leg struct {
	net, done int64
	short     bool
}

func (l *leg) due() int64 { return l.net - l.done }

// posting is a movement as it stands in a window: between those who settle.
type posting struct {
	pair
	by     [2]tongma.ParticipantID // whose it is
	minor  int64
	window tongma.WindowID
	of     *record // nil: of no payment
	debt   string  // of no payment: which dispute or cover it comes of
}

func (o *oracle) openSpan(model string, method calendar.Model) *span {
	w := &span{id: tongma.WindowID(len(o.windows) + 1), model: model, method: method, state: clearing.KindOpen, asked: map[string]clearing.Entry{}, words: map[string]clearing.Entry{}, again: map[string]again{}, sentAgain: map[string]bool{},
		flows: map[pair]int64{}, legs: map[pair]*leg{}, cash: map[account]int64{}}
	o.windows = append(o.windows, w)
	return w
}

func (o *oracle) window(id tongma.WindowID) *span {
	if id == 0 || uint64(id) > uint64(len(o.windows)) {
		return nil
	}
	return o.windows[id-1]
}

// current returns the open window of a model.
func (o *oracle) current(model string) *span {
	for i := len(o.windows) - 1; i >= 0; i-- {
		if w := o.windows[i]; w.model == model && w.state == clearing.KindOpen {
			return w
		}
	}
	return nil
}

// flow adds to what one owes another out of a window.
func (w *span) flow(k pair, minor int64) {
	if _, ok := w.flows[k]; !ok {
		w.seen = append(w.seen, k)
	}
	w.flows[k] += minor
}

// side names the leg that a flow counts in, and with which sign.
func (w *span) side(k pair) (pair, int64) {
	if w.method == calendar.Bilateral && k.from > k.to {
		return k.turned(), -1
	}
	return k, 1
}

// net draws up the legs from the flows. What was paid of a leg stays paid.
func (w *span) net() {
	for _, k := range w.order {
		w.legs[k].net = 0
	}
	add := func(k pair, minor int64) {
		if w.legs[k] == nil {
			w.legs[k] = &leg{}
			w.order = append(w.order, k)
		}
		w.legs[k].net += minor
	}
	for _, k := range w.seen {
		switch {
		case w.method != calendar.Bilateral && w.method != calendar.Gross:
			add(pair{k.from, "", k.currency}, w.flows[k])
			add(pair{k.to, "", k.currency}, -w.flows[k])
		case k.from != k.to:
			of, sign := w.side(k)
			add(of, sign*w.flows[k])
		}
	}
}

// leg finds the leg by which at least minor is due from one to another, and with
// which sign it is paid; nil if there is none.
func (w *span) leg(k pair, minor int64) (*leg, int64) {
	if l := w.legs[k]; l != nil && l.due() >= minor && minor > 0 {
		return l, minor
	}
	if l := w.legs[k.turned()]; l != nil && -l.due() >= minor && minor > 0 {
		return l, -minor
	}
	return nil, 0
}

// behind lists which state each kind of entry finds its window in.
var behind = map[clearing.Kind]clearing.Kind{clearing.KindClose: clearing.KindOpen, clearing.KindInstruct: clearing.KindClose,
	clearing.KindSettle: clearing.KindInstruct, clearing.KindSettled: clearing.KindInstruct, clearing.KindShort: clearing.KindInstruct,
	clearing.KindCover: clearing.KindInstruct, clearing.KindDefer: clearing.KindInstruct, clearing.KindRecast: clearing.KindInstruct,
	clearing.KindCoverAsked: clearing.KindInstruct, clearing.KindCoverRefused: clearing.KindInstruct, clearing.KindWord: clearing.KindInstruct, clearing.KindWordRejected: clearing.KindInstruct, clearing.KindRetry: clearing.KindInstruct}

// settling is an entry of a window's own life.
func (o *oracle) settling(e *clearing.Entry) {
	if e.Kind == clearing.KindOpen {
		if o.current(e.Model) != nil {
			o.fail("window", "entry %d opens a second window of model %q", e.Number, e.Model)
		}
		o.openSpan(e.Model, e.Method)
		return
	}
	w := o.window(e.Window)
	if w == nil || w.state != behind[e.Kind] {
		o.fail("window", "entry %d: %v of window %d does not follow", e.Number, e.Kind, e.Window)
		return
	}
	o.said(e, w)
	o.inTurn(e, w)
	switch e.Kind {
	case clearing.KindRetry:
		o.triedAgain(e, w)
	case clearing.KindClose:
		o.h.count(WindowClosed)
		w.state = clearing.KindClose
		o.note(ClosedByClock, e.Cutoff != 0)
		o.note(SeveralModels, w.model != "" && len(w.seen) > 0)
		o.note(MethodChanged, o.openSpan(w.model, e.Method).method != w.method)
	case clearing.KindInstruct:
		w.state = clearing.KindInstruct
		w.net()
		o.note(PairwiseWindow, w.method == calendar.Bilateral && len(w.order) > 0)
		o.note(GrossWindow, w.method == calendar.Gross && len(w.order) > 0)
	case clearing.KindSettle:
		o.confirmed(e, w)
	case clearing.KindShort:
		o.short(e, w)
	case clearing.KindCoverAsked:
		l, _ := w.leg(pair{e.Debtor, e.Asker, e.Amount.Currency}, e.Amount.Minor)
		if l == nil || !l.short || w.recasting {
			o.fail("cover", "entry %d asks %s for %d that is not due of %s", e.Number, e.Creditor, e.Amount.Minor, e.Debtor)
		}
		w.asked[e.SchemeRef] = *e
	case clearing.KindCoverRefused:
		if was, ok := w.asked[e.SchemeRef]; !ok || was.Amount != e.Amount || was.Creditor != e.Creditor {
			o.fail("cover", "entry %d: nobody asked %s for %d", e.Number, e.Creditor, e.Amount.Minor)
		}
		delete(w.asked, e.SchemeRef)
	case clearing.KindCover:
		if was, ok := w.asked[e.SchemeRef]; ok && (was.Creditor != e.Creditor || was.Amount.Minor < e.Amount.Minor) {
			o.fail("cover", "entry %d: %s was asked for %d", e.Number, was.Creditor, was.Amount.Minor)
		}
		delete(w.asked, e.SchemeRef)
		o.covered(e, w)
	case clearing.KindDefer:
		if len(w.asked) > 0 {
			o.fail("recast", "entry %d defers while %d covers may be under way", e.Number, len(w.asked))
		}
		o.deferred(e, w)
	case clearing.KindRecast:
		o.h.count(Recast)
		if !w.recasting {
			o.fail("recast", "entry %d draws up a sheet of which nothing was deferred", e.Number)
		}
		w.recasting = false
		o.recast(e, w)
		w.net()
		for _, k := range w.order { // who is short of the new sheet has to be found out
			w.legs[k].short = false
		}
		o.enough(e, w)
	case clearing.KindSettled:
		w.state = clearing.KindSettled
		for _, k := range w.order {
			if due := w.legs[k].due(); due != 0 {
				o.fail("settled", "entry %d: %d of window %d is still due from %s", e.Number, due, e.Window, k.from)
			}
		}
	}
}

// said holds what people say of an instruction: two of them say the same, on the same
// evidence, or the agent has said it.
func (o *oracle) said(e *clearing.Entry, w *span) {
	was, known := w.words[e.SchemeRef]
	switch e.Kind {
	case clearing.KindWord:
		if known || e.Maker == "" || e.Key == "" {
			o.fail("two people", "entry %d is the word of %q on an instruction, behind that of %q", e.Number, e.Maker, was.Maker)
		}
		w.words[e.SchemeRef] = *e
		return
	case clearing.KindWordRejected:
		if !known {
			o.fail("two people", "entry %d takes back what nobody has said", e.Number)
		}
		delete(w.words, e.SchemeRef)
		return
	case clearing.KindSettle, clearing.KindShort, clearing.KindCover, clearing.KindCoverRefused:
	default:
		return
	}
	if e.Checker != "" {
		o.note(ByHand, true)
		if !known || strings.EqualFold(strings.TrimSpace(e.Checker), strings.TrimSpace(was.Maker)) || was.Key != e.Key || was.Amount != e.Amount || was.Debtor != e.Debtor || was.Creditor != e.Creditor {
			o.fail("two people", "entry %d: %q says %v on %q, before %q said %v on %q", e.Number, e.Checker, e.Amount, e.Key, was.Maker, was.Amount, was.Key)
		}
	} else if o.h.plan.byHand && w.model == o.h.handModel {
		o.fail("two people", "entry %d: nobody has said that, and no agent is connected", e.Number)
	}
	delete(w.words, e.SchemeRef)
}

// triedAgain is that what the agent refused is about to be sent again: all that is due of
// one who is short, or to one whose turn it is.
func (o *oracle) triedAgain(e *clearing.Entry, w *span) {
	k := pair{e.Debtor, e.Creditor, e.Amount.Currency}
	l, signed := w.leg(k, e.Amount.Minor)
	if l == nil || w.recasting || l.due() != signed || (e.Debtor != "" && !l.short) {
		o.fail("retry", "entry %d sends %d from %q to %q again", e.Number, e.Amount.Minor, e.Debtor, e.Creditor)
	}
	w.again[e.SchemeRef], w.sentAgain[e.SchemeRef] = again{*e, o.epoch}, true
	o.note(TriedAgain, e.Debtor != "")
	o.note(CreditTriedAgain, e.Debtor == "")
	if h := o.h; e.Debtor != "" && h.plan.crashes > 0 && !h.healed && h.rand.IntN(2) == 0 {
		h.after(between(h.rand, 0, 10*time.Second), h.crashServing) // just when it is on its way
	}
}

// inTurn holds that as long as a debit that was tried again has no end, nothing else comes
// for its leg, and nothing rolls over.
func (o *oracle) inTurn(e *clearing.Entry, w *span) {
	was, ends := w.again[e.SchemeRef]
	to := e.Creditor
	switch e.Kind {
	case clearing.KindCover, clearing.KindCoverAsked:
		to = e.Asker
	case clearing.KindSettle, clearing.KindShort:
		if ends {
			delete(w.again, e.SchemeRef)
			o.note(RetryOutlived, was.entry.Debtor != "" && was.epoch != o.epoch)
		}
	case clearing.KindDefer, clearing.KindRetry:
	default:
		return
	}
	for id, other := range w.again {
		of := other.entry
		if of.Debtor != "" && (e.Kind == clearing.KindDefer || (of.Debtor == e.Debtor && of.Creditor == to && of.Amount.Currency == e.Amount.Currency)) {
			o.fail("retry", "entry %d: %v of %s while %s, which was sent again, has no end", e.Number, e.Kind, e.SchemeRef, id)
		}
	}
}

// pay books that a leg, or a part of it, was paid.
func (o *oracle) pay(e *clearing.Entry, w *span, k pair) *leg {
	minor := e.Amount.Minor
	l, signed := w.leg(k, minor)
	if l == nil || w.recasting {
		o.fail("leg", "entry %d: %v of %d from %q to %q in window %d is not due", e.Number, e.Kind, minor, k.from, k.to, w.id)
		return nil
	}
	l.done += signed
	o.at(k.from, k.currency).net -= minor
	o.at(k.to, k.currency).net += minor
	return l
}

func (w *span) paid(from, to tongma.ParticipantID, m tongma.Money) {
	w.cash[account{from, m.Currency}] += m.Minor
	w.cash[account{to, m.Currency}] -= m.Minor
}

// confirmed is the agent's word that it moved a leg or a part of it.
func (o *oracle) confirmed(e *clearing.Entry, w *span) {
	k := pair{e.Debtor, e.Creditor, e.Amount.Currency}
	if k.from == "" {
		for _, other := range w.order {
			if l := w.legs[other]; other.to == "" && other.currency == k.currency && l.due() > 0 {
				o.fail("debits first", "entry %d pays %s before %s has paid", e.Number, k.to, other.from)
			}
		}
	}
	if l := o.pay(e, w, k); l != nil {
		w.paid(k.from, k.to, e.Amount)
		if l.due() == 0 {
			l.short = false
		}
	}
}

// short is the agent's word that a debtor has not got the money.
func (o *oracle) short(e *clearing.Entry, w *span) {
	o.h.count(Short)
	k := pair{e.Debtor, e.Creditor, e.Amount.Currency}
	l, _ := w.leg(k, e.Amount.Minor)
	if l == nil || e.Debtor == "" {
		o.fail("short", "entry %d: %d is not due from %q", e.Number, e.Amount.Minor, e.Debtor)
		return
	}
	l.short = true
	o.blocked[e.Debtor], o.kept[e.Debtor] = true, true
}

// covered is what somebody paid for one who is short. Its own prefunding is used
// up; to anybody else it owes the same in the model's open window.
func (o *oracle) covered(e *clearing.Entry, w *span) {
	o.h.count(Covered)
	k := pair{e.Debtor, e.Asker, e.Amount.Currency}
	l := o.pay(e, w, k)
	if l == nil {
		return
	}
	if !l.short {
		o.fail("cover", "entry %d: %s is not short", e.Number, e.Debtor)
	}
	w.paid(e.Creditor, e.Asker, e.Amount)
	o.note(CoveredShort, true)
	o.note(BetweenTwo, e.Asker != "")
	if e.Creditor == e.Debtor {
		o.note(ByPrefunding, true)
		a := o.at(e.Debtor, e.Amount.Currency)
		if a.prefund -= e.Amount.Minor; a.prefund < 0 {
			o.fail("cover", "entry %d: %s has prefunded %d less", e.Number, e.Debtor, -a.prefund)
		}
		return
	}
	o.note(ByAnother, true)
	o.shift(o.current(w.model), e.Debtor, e.Creditor, e.Amount, nil).debt = e.SchemeRef
}

// shift books a debt of a window: one debit and one credit, of those who settle.
func (o *oracle) shift(w *span, from, to tongma.ParticipantID, m tongma.Money, of *record) *posting {
	k := pair{o.settler(from), o.settler(to), m.Currency}
	o.at(k.from, k.currency).net += m.Minor
	o.at(k.to, k.currency).net -= m.Minor
	w.flow(k, m.Minor)
	at := &posting{pair: k, by: [2]tongma.ParticipantID{from, to}, minor: m.Minor, window: w.id, of: of}
	w.moves = append(w.moves, at)
	return at
}

// deferred moves a payment's postings of a window into the open one.
func (o *oracle) deferred(e *clearing.Entry, w *span) {
	o.h.count(Deferred)
	p, open, moved := o.payments[e.Payment], o.current(w.model), 0
	var postings []*posting
	if p != nil {
		postings = p.postings
	} else { // a chargeback, or what was paid for another
		key := e.SchemeRef
		if !e.Payment.IsZero() {
			key = e.Payment.String()
		}
		for _, x := range o.windows {
			for _, at := range x.moves {
				if at.of == nil && at.debt == key && key != "" {
					postings = append(postings, at)
				}
			}
		}
	}
	o.note(DebtDeferred, p == nil)
	if len(postings) == 0 || open == nil {
		o.fail("defer", "entry %d defers a payment that is not there", e.Number)
		return
	}
	for _, at := range postings {
		if at.window == w.id {
			w.flow(at.pair, -at.minor)
			open.flow(at.pair, at.minor)
			at.window = open.id
			w.moves = slices.DeleteFunc(w.moves, func(x *posting) bool { return x == at })
			w.left, open.moves = append(w.left, at), append(open.moves, at)
			moved++
		}
	}
	if moved == 0 {
		o.fail("defer", "entry %d defers payment %d, which is not in window %d", e.Number, name(e.Payment), w.id)
	}
	if p != nil {
		p.steps = append(p.steps, step{e.Number, e.Kind, open.id})
	}
	w.recasting = true
	o.note(RecastBetweenTwo, w.method == calendar.Bilateral || w.method == calendar.Gross)
}

// recast holds what was taken out of a window against what had to be: of one currency
// at a time.
func (o *oracle) recast(e *clearing.Entry, w *span) {
	for _, at := range w.left {
		if first := w.left[0]; at.currency != first.currency && !o.h.market.dealing {
			o.fail("recast", "entry %d draws up a sheet without payments in %s and in %s", e.Number, first.currency.Code(), at.currency.Code())
		}
	}
}

// enough holds that a recast was worth it: of what each has paid in, everybody can pay
// what is left.
func (o *oracle) enough(e *clearing.Entry, w *span) {
	if len(w.left) == 0 {
		return // that was said
	}
	c := w.left[0].currency
	w.left = nil
	if o.h.market.dealing || w.method == calendar.Bilateral || w.method == calendar.Gross || slices.ContainsFunc(w.moves, func(at *posting) bool { return at.of == nil }) {
		return
	}
	for _, k := range w.order {
		if l := w.legs[k]; k.currency == c && l.due() > 0 && l.done >= 0 {
			o.fail("recast", "entry %d: behind it %s still owes %d %s of window %d", e.Number, k.from, l.due(), c.Code(), w.id)
		}
	}
}

// unsettled returns the windows that are closed and not settled.
func (o *oracle) unsettled() (all []tongma.WindowID) {
	for _, w := range o.windows {
		if w.state == clearing.KindClose || w.state == clearing.KindInstruct {
			all = append(all, w.id)
		}
	}
	return all
}
